import numpy as np
import pytest
from scipy.stats import norm
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
    got = roc_curve(counts_of(labels, np.round(probabilities, 2)), [], None)
    false, true, _ = sklearn_roc(labels, np.round(probabilities, 2), drop_intermediate=False)
    expected = [true[false <= rate + 1e-12].max() for rate in FALSE_POSITIVE_RATES]
    assert got.sensitivity == pytest.approx(expected)
    assert got.low == ()


def test_the_band_holds_the_true_curve_pointwise() -> None:
    rng, held = np.random.default_rng(1), []
    truth = norm.cdf(1.2 + norm.ppf(0.2))
    for _ in range(60):
        counts = counts_of(*drawn(rng, 100, 100))
        got = roc_curve(counts, [(counts[0], 100, 0), (counts[1], 100, 1)], rng)
        index = got.false_positive_rate.index(0.2)
        held.append(got.low[index] <= truth <= got.high[index])
    assert np.mean(held) >= 0.88
    assert got.sensitivity[-1] == got.low[-1] == 1


def test_one_class_has_no_curve() -> None:
    assert roc_curve(counts_of(np.array([1, 1]), np.array([0.2, 0.3])), [], None) is None
