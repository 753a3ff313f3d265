import numpy as np
import pytest

from fedtune3d.evaluation.grid import EDGES, grid_counts
from fedtune3d.evaluation.threshold import choose_threshold, threshold_at_specificity, why_not_specific


def threshold_of(negatives: list[float], positives: list[float]) -> float | None:
    return choose_threshold(grid_counts(np.array(negatives)), grid_counts(np.array(positives)))


def test_lies_on_the_grid_in_the_middle_of_the_gap() -> None:
    threshold = threshold_of([0.1, 0.2], [0.8, 0.9])
    assert threshold in EDGES
    assert abs(threshold - 0.5) < 0.01


def test_maximises_youden_by_brute_force() -> None:
    rng = np.random.default_rng(2)
    negatives, positives = rng.beta(2, 3, 60), rng.beta(3, 2, 35)
    best = max((positives >= edge).mean() - (negatives >= edge).mean() for edge in EDGES)
    threshold = threshold_of(list(negatives), list(positives))
    assert (positives >= threshold).mean() - (negatives >= threshold).mean() == best


def test_takes_the_widest_of_equally_good_gaps() -> None:
    """J is 1/2 in the narrow gap 0.10–0.12 and in the wide one 0.5–0.9."""
    threshold = threshold_of([0.10, 0.5], [0.12, 0.9])
    assert 0.7 < threshold < 0.8


def test_is_missing_without_both_classes() -> None:
    assert threshold_of([0.1], []) is None
    assert threshold_of([], [0.1]) is None


def test_at_specificity_the_most_sensitive_threshold_in_the_middle_of_its_gap() -> None:
    """Ten negatives: one may be positive. The last but one stands at 0.6, the next positive above it at 0.8."""
    negatives = grid_counts(np.r_[np.linspace(0.05, 0.4, 8), 0.6, 0.9])
    positives = grid_counts(np.array([0.5, 0.8, 0.95]))
    got = threshold_at_specificity(negatives, positives, 0.9)
    logit = np.log(got / (1 - got))
    assert logit == pytest.approx((np.log(0.6 / 0.4) + np.log(0.8 / 0.2)) / 2, abs=1 / 32)
    stricter = threshold_at_specificity(negatives, positives, 1.0)
    assert 0.9 < stricter < 0.95


def test_at_specificity_there_may_be_none() -> None:
    one = grid_counts(np.array([0.5]))
    assert threshold_at_specificity(one, 0 * one, 0.9) is None
    assert threshold_at_specificity(0 * one, one, 0.9) is None
    assert threshold_at_specificity(grid_counts(np.array([1.0])), one, 0.9) is None


def test_why_no_threshold_is_specific() -> None:
    """Three of 21 negatives have saturated probabilities: even the highest threshold has a specificity of 18 / 21."""
    negatives = grid_counts(np.r_[np.full(18, 0.1), 0.9999824, 0.9999937, 0.9999988])
    positives = grid_counts(np.full(20, 0.99999986))
    assert threshold_at_specificity(negatives, positives, 0.9) is None
    why = why_not_specific(negatives, positives, 0.9)
    assert "more than 10% of the negative validation scans have a probability of at least 0.99995" in why
    assert threshold_at_specificity(negatives, positives, 0.85) is not None
    for both in ((negatives, 0 * positives), (0 * negatives, positives)):
        assert why_not_specific(*both, 0.9) == "no threshold: a class has no validation scans"
