import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fedtune3d.evaluation.auc import auc_from_counts
from fedtune3d.evaluation.grid import BINS, EDGES, auc_error_bound, from_sparse, grid_counts, to_sparse


def test_edges_rise_by_at_most_the_stated_step() -> None:
    assert len(EDGES) == 1281
    assert EDGES[640] == 0.5
    assert np.diff(EDGES).min() > 0
    assert np.diff(EDGES).max() < 0.004


def test_a_probability_on_an_edge_is_at_or_above_it() -> None:
    counts = grid_counts(np.array([0.0, 0.5, np.nextafter(0.5, 0), 1.0]))
    assert counts.sum() == 4
    assert counts.shape == (BINS,)
    assert counts[0] == 1
    assert counts[-1] == 1
    assert counts[641] == 1  # [EDGES[640], …) = [0.5, …)
    assert counts[640] == 1


def test_sparse_counts_round_trip() -> None:
    counts = grid_counts(np.random.default_rng(1).random(50))
    assert np.array_equal(from_sparse(to_sparse(counts)), counts)
    assert from_sparse({}).sum() == 0


@pytest.mark.parametrize("bad", [{"5000": 1}, {"-1": 1}, {"3": -2}, {"3": 1.5}])
def test_impossible_counts_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="not on the grid"):
        from_sparse(bad)


@pytest.mark.parametrize("sharpness", [0.5, 3.0, 12.0])
def test_auc_from_counts_errs_within_the_bound(sharpness: float) -> None:
    """Also where the network is overconfident and all probabilities crowd at 0 and 1."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 400)
    probabilities = 1 / (1 + np.exp(-sharpness * (labels - 0.5 + rng.normal(0, 1, 400))))
    negatives, positives = (grid_counts(probabilities[labels == label]) for label in (0, 1))
    error = abs(auc_from_counts(negatives, positives) - roc_auc_score(labels, probabilities))
    assert error <= auc_error_bound(negatives, positives)
    assert auc_error_bound(negatives, positives) < (0.06 if sharpness > 10 else 0.01)


def test_the_bound_is_reached_by_the_worst_case() -> None:
    negatives, positives = grid_counts(np.array([0.7])), grid_counts(np.array([0.7001]))
    assert auc_error_bound(negatives, positives) == 0.5
    assert auc_from_counts(negatives, positives) == 0.5  # of a true 1
