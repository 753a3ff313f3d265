import math

import pytest
from scipy.stats import t

from fedtune3d.evaluation.measure import Measure, mean_measure, sum_of_independent


def test_limits_on_each_scale_by_hand() -> None:
    measure, quantile = Measure(0.5, 0.01, 7), float(t.ppf(0.975, 7))
    found = {scale: measure.estimate(scale, "m", few=False) for scale in ("identity", "log", "complement", "fisher")}
    assert (found["identity"].low, found["identity"].high) == pytest.approx(
        (0.5 - 0.1 * quantile, 0.5 + 0.1 * quantile)
    )
    assert found["log"].high == pytest.approx(0.5 * math.exp(0.2 * quantile))
    assert found["complement"].low == pytest.approx(1 - 0.5 * math.exp(0.2 * quantile))
    assert found["fisher"].low == pytest.approx(math.tanh(math.atanh(0.5) - 0.1 / 0.75 * quantile))
    assert all(part.value == 0.5 and part.low < 0.5 < part.high for part in found.values())


@pytest.mark.parametrize(("scale", "value"), [("log", 0.0), ("complement", 1.0), ("fisher", -1.0)])
def test_the_end_of_a_scale_has_no_interval(scale: str, value: float) -> None:
    assert Measure(value, 0.1, 5).estimate(scale, "m", few=False).undefined == f"a value of {value:g} has no interval"


def test_the_mean_over_sites_has_the_degrees_of_freedom_of_welch() -> None:
    """The difference of two means, with the second one's sign turned, is Welch's t test (R's t.test)."""
    first, second = Measure(3.0, 0.4**2, 9), Measure(-2.0, 0.7**2, 4)
    both = sum_of_independent([first, second], 1.0)
    assert both.degrees == pytest.approx((0.16 + 0.49) ** 2 / (0.16**2 / 9 + 0.49**2 / 4))
    mean = mean_measure({"A": first, "B": second}, "identity", few=True)
    assert (mean.value, mean.sites, mean.mark) == (0.5, ("A", "B"), "few")
    assert mean.high == pytest.approx(0.5 + t.ppf(0.975, both.degrees) * math.sqrt(0.65) / 2)


def test_no_site_and_no_variance() -> None:
    assert mean_measure({}, "log", few=False).undefined == "no site has a value"
    still = mean_measure({"A": Measure(2.0, 0.0, 3)}, "identity", few=False)
    assert (still.low, still.high) == (2.0, 2.0)
