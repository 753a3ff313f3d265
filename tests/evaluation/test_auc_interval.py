import math

import numpy as np
import pytest
from scipy.optimize import brentq

from fedtune3d.evaluation.auc_interval import (
    AucVariance,
    auc_interval,
    mean_auc_interval,
    newcombe,
    shrunken_variance,
)
from fedtune3d.evaluation.estimate import Z


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


def test_without_delongs_variance_it_is_newcombes() -> None:
    assert shrunken_variance(0.8, None, 1, 6) == AucVariance(1.0, 1, 6)
    assert auc_interval(0.8, AucVariance(1.0, 5, 6)) == newcombe(0.8, 5, 6)


def test_with_many_people_it_is_delongs() -> None:
    low, high = auc_interval(0.9, shrunken_variance(0.9, 1e-6, 100_000, 100_000))
    assert (high - low) / (2 * Z) == pytest.approx(1e-3, rel=0.01)


def test_mean_of_sites_by_other_code() -> None:
    """The root of the equation with Hanley and McNeil's variance written out; each site has a ratio of its own."""
    sites = [(0.9, 1.2, 5, 9), (0.75, 0.8, 12, 4), (1.0, 0.6, 3, 3)]
    got = mean_auc_interval([site[0] for site in sites], [AucVariance(*site[1:]) for site in sites])
    mean = sum(site[0] for site in sites) / 3

    def excess(theta: float) -> float:
        total = sum(ratio * hanley_mcneil_balanced(theta, *people) for _, ratio, *people in sites)
        return (theta - mean) ** 2 - Z**2 * total / 9

    assert got == pytest.approx((brentq(excess, 0.01, mean - 1e-9), brentq(excess, mean + 1e-9, 1 - 1e-9)))


def test_mean_of_one_site_is_the_site() -> None:
    variance = AucVariance(0.7, 6, 9)
    assert mean_auc_interval([0.85], [variance]) == auc_interval(0.85, variance)


@pytest.mark.parametrize("auc", [0.0, 1.0])
def test_limits_stay_in_range_at_the_ends(auc: float) -> None:
    low, high = mean_auc_interval([auc] * 20, [AucVariance(1.0, 4, 4)] * 20)
    assert 0 <= low <= auc <= high <= 1
    assert low < high
