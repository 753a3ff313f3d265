import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from fedtune3d.evaluation.estimate import Z
from fedtune3d.evaluation.intervals import difference_interval, mean_interval, newcombe, wilson


def test_z_is_the_normal_quantile() -> None:
    assert pytest.approx(norm.ppf(0.975), abs=1e-15) == Z


@pytest.mark.parametrize(("right", "n"), [(0, 5), (3, 7), (12, 40), (9, 9)])
def test_wilson_equals_scipy(right: int, n: int) -> None:
    known = binomtest(right, n).proportion_ci(method="wilson")
    assert wilson(right / n, n) == pytest.approx((known.low, known.high), abs=1e-12)


def hanley_mcneil_balanced(theta: float, negatives: int, positives: int) -> float:
    """Written from the paper's formula, not from the code: Q1 = θ/(2−θ), Q2 = 2θ²/(1+θ) with N* on both."""
    star = (negatives + positives) / 2 - 1
    q1, q2 = theta / (2 - theta), 2 * theta**2 / (1 + theta)
    return (theta * (1 - theta) + star * (q1 - theta**2) + star * (q2 - theta**2)) / (negatives * positives)


@pytest.mark.parametrize(("auc", "negatives", "positives"), [(0.8, 5, 9), (0.5, 3, 3), (0.97, 12, 4), (0.05, 8, 8)])
def test_newcombe_limits_solve_its_equation(auc: float, negatives: int, positives: int) -> None:
    low, high = newcombe(auc, negatives, positives)
    assert 0 < low < auc < high < 1
    for limit in (low, high):
        assert abs(limit - auc) == pytest.approx(
            Z * math.sqrt(hanley_mcneil_balanced(limit, negatives, positives)), rel=1e-9
        )


def test_newcombe_by_hand_for_one_against_one() -> None:
    """N* = 0, so V = θ(1−θ) and the limits are Wilson's with n = 1: for an AUC of 1, 1 / (1 + z²)."""
    low, high = newcombe(1.0, 1, 1)
    assert low == pytest.approx(1 / (1 + Z**2), abs=1e-9)
    assert high == 1
    assert newcombe(0.0, 1, 1) == pytest.approx((0, 1 - low))


def test_newcombe_narrows_with_people() -> None:
    widths = [np.ptp(newcombe(1.0, n, n)) for n in (2, 4, 8, 16, 400)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.02


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
