"""People with test scans at several sites."""

import math

import numpy as np
import pytest

from fedtune3d.evaluation.auc_interval import AucVariance, auc_interval, newcombe_variance
from fedtune3d.evaluation.estimate import defined
from fedtune3d.evaluation.mean_over_sites import SHARED, mean_over_sites
from fedtune3d.evaluation.overlap import Overlap

NEGATIVE, POSITIVE, BOTH = (2, 0), (0, 1), (1, 1)
OVERLAP = Overlap({"A": {"x": NEGATIVE, "y": POSITIVE, "z": BOTH}, "B": {"y": POSITIVE, "z": NEGATIVE}, "C": {}})


def test_people_at_two_sites_count_once() -> None:
    """A has x, y, z and 4 of its own, B y, z and 3 of its own, C 5 of its own."""
    assert OVERLAP.people({"A": 7, "B": 5, "C": 5}) == 3 + 4 + 3 + 5
    assert OVERLAP.people({"A": 0, "B": 5, "C": 5}) == 2 + 3 + 5  # A holds its number back
    assert Overlap().people({"A": 7, "B": 5}) == 12


def test_the_correlation_is_that_of_means_that_share_values() -> None:
    """Both sites have z's negative and y's positive scans: 1 of √(3 · 2) negative and 1 of √(4 · 3) positive people."""
    people = {"A": (3, 4), "B": (2, 3), "C": (9, 9)}
    assert OVERLAP.correlation("A", "B", people) == pytest.approx(1 / math.sqrt(6))
    assert OVERLAP.correlation("B", "A", people) == OVERLAP.correlation("A", "B", people)
    assert OVERLAP.correlation("A", "C", people) == 0
    rng = np.random.default_rng(1)
    values = rng.normal(size=(40_000, 6))
    found = np.corrcoef(values[:, :3].mean(axis=1), values[:, 2:4].mean(axis=1))[0, 1]
    assert found == pytest.approx(1 / math.sqrt(3 * 2), abs=0.02)


def test_two_sites_with_the_same_people_have_the_interval_of_one() -> None:
    """Ten people of either class at both sites: the mean of two equal AUCs is no surer than one of them."""
    groups = {f"p{number}": NEGATIVE if number < 10 else POSITIVE for number in range(20)}
    variance = AucVariance(1.0, 10, 10)
    estimate = defined(0.8, auc_interval(0.8, variance), "", few=False)
    sites, variances = {"A": estimate, "B": estimate}, {"A": variance, "B": variance}
    same = mean_over_sites(sites, variances, Overlap({"A": groups, "B": groups}))
    assert (same.low, same.high) == pytest.approx((estimate.low, estimate.high))
    assert same.method.endswith(SHARED)
    apart = mean_over_sites(sites, variances)
    assert apart.low > same.low
    assert SHARED not in apart.method


def test_the_interval_of_the_mean_by_other_code() -> None:
    """The limits are where (θ − mean)² crosses z² rᵀ V r / k²: found on a fine grid."""
    people = {"A": (6, 9), "B": (12, 5)}
    groups = {site: {f"g{number}": BOTH for number in range(4)} for site in people}
    variances = {site: AucVariance(1.3, *counts) for site, counts in people.items()}
    estimates = {"A": defined(0.7, (0.4, 0.9), "", few=True), "B": defined(0.9, (0.6, 1.0), "", few=True)}
    found = mean_over_sites(estimates, variances, Overlap(groups))
    r = max(4 / math.sqrt(6 * 12), 4 / math.sqrt(9 * 5))
    theta = np.linspace(0.0005, 0.9995, 200_001)
    a, b = (1.3 * np.array([newcombe_variance(t, *people[site]) for t in theta[::100]]) for site in people)
    a, b = (np.interp(theta, theta[::100], values) for values in (a, b))
    inside = theta[(theta - 0.8) ** 2 <= 1.959964**2 * (a + b + 2 * r * np.sqrt(a * b)) / 4]
    assert (found.low, found.high) == pytest.approx((inside.min(), inside.max()), abs=1e-4)
