import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import auc, roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc

from fedtune3d.evaluation.grid import grid_counts
from fedtune3d.evaluation.roc import FALSE_POSITIVE_RATES, roc_curve


def drawn(rng: np.random.Generator, negatives: int, positives: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.r_[np.zeros(negatives, int), np.ones(positives, int)]
    return labels, norm.cdf(rng.normal(labels * 1.2, 1))


def counts_of(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return np.stack([grid_counts(probabilities[labels == label]) for label in (0, 1)])


def test_equals_scikit_learn() -> None:
    labels, probabilities = drawn(np.random.default_rng(0), 37, 53)
    probabilities = np.round(probabilities, 2)
    got = roc_curve(counts_of(labels, probabilities), "a test", [], None)
    false, true, _ = sklearn_roc(labels, probabilities, drop_intermediate=False)
    assert got.false_positive_rate == pytest.approx(false)  # ties included
    assert got.sensitivity == pytest.approx(true)
    assert (got.source, got.band) == ("a test", None)
    assert auc(got.false_positive_rate, got.sensitivity) == pytest.approx(roc_auc_score(labels, probabilities))


def test_the_steps_by_hand() -> None:
    """From the highest score down: positive, negative, a tie of both, negative."""
    counts = np.array([[1, 0, 1, 1, 0], [0, 0, 1, 0, 1]])
    got = roc_curve(counts, "", [], None)
    assert got.false_positive_rate == pytest.approx((0, 0, 1 / 3, 2 / 3, 1))
    assert got.sensitivity == pytest.approx((0, 1 / 2, 1 / 2, 1, 1))


@pytest.mark.ci
def test_the_band_holds_the_true_curve_pointwise() -> None:
    rng, held = np.random.default_rng(1), []
    truth = norm.cdf(1.2 + norm.ppf(0.2))
    for _ in range(60):
        counts = counts_of(*drawn(rng, 100, 100))
        got = roc_curve(counts, "", [(counts[0], 100, 0), (counts[1], 100, 1)], rng)
        index = got.band.false_positive_rate.index(0.2)
        held.append(got.band.low[index] <= truth <= got.band.high[index])
    assert np.mean(held) >= 0.88
    assert got.band.false_positive_rate == tuple(FALSE_POSITIVE_RATES)
    assert got.sensitivity[-1] == got.band.low[-1] == 1


def test_one_class_has_no_curve() -> None:
    assert roc_curve(counts_of(np.array([1, 1]), np.array([0.2, 0.3])), "", [], None) is None
