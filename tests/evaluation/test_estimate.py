"""A number with its interval, or the reason why there is none."""

import numpy as np
from scipy.stats import norm

from fedtune3d.evaluation.estimate import Z, defined, undefined


def test_a_defined_estimate_has_plain_numbers_and_says_how_it_was_made() -> None:
    estimate = defined(np.float64(0.75), (np.float64(0.5), 1), "by hand", few=True)
    assert estimate.limits == (0.75, 0.5, 1.0)
    assert all(type(number) is float for number in estimate.limits or ())
    assert (estimate.method, estimate.mark, estimate.undefined) == ("by hand", "few", None)
    assert defined(0.75, (0.5, 1), "by hand", few=False).mark is None


def test_an_undefined_estimate_gives_the_reason_and_no_number() -> None:
    estimate = undefined("one class only")
    assert estimate.limits is None
    assert (estimate.value, estimate.undefined) == (None, "one class only")


def test_z_is_the_97_5_percent_quantile_of_the_normal_distribution() -> None:
    assert abs(Z - norm.ppf(0.975)) < 1e-15
