import math

import pytest
from scipy.stats import binomtest, norm

from fedtune3d.evaluation.estimate import Z
from fedtune3d.evaluation.intervals import difference_interval, mean_interval, wilson


def test_z_is_the_normal_quantile() -> None:
    assert pytest.approx(norm.ppf(0.975), abs=1e-15) == Z


@pytest.mark.parametrize(("right", "n"), [(0, 5), (3, 7), (12, 40), (9, 9)])
def test_wilson_equals_scipy(right: int, n: int) -> None:
    known = binomtest(right, n).proportion_ci(method="wilson")
    assert wilson(right / n, n) == pytest.approx((known.low, known.high), abs=1e-12)


def test_mean_interval_by_hand() -> None:
    low, high = mean_interval([0.6, 0.8], [0.3, 0.4], [0.7, 0.9])
    assert low == pytest.approx(0.7 - 0.5 / 2)
    assert high == pytest.approx(0.7 + math.sqrt(0.02) / 2)
    assert mean_interval([0.6], [0.3], [0.7]) == pytest.approx((0.3, 0.7))


def test_mean_interval_stays_in_range() -> None:
    assert mean_interval([1.0, 0.9], [0.1, 0.1], [1.0, 1.3])[1] == 1.0


def test_difference_of_proportions_is_newcombes_method_10() -> None:
    from statsmodels.stats.proportion import confint_proportions_2indep

    first, second = (56 / 70, *wilson(56 / 70, 70)), (48 / 80, *wilson(48 / 80, 80))
    expected = confint_proportions_2indep(56, 70, 48, 80, method="newcomb", compare="diff")
    assert difference_interval(first, second) == pytest.approx(expected)
    assert difference_interval(first, second) == pytest.approx((0.0524, 0.3339), abs=5e-5)  # the paper's Table II (a)
