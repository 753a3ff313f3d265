import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from fedtune3d.evaluation.auc import (
    area_under_curve,
    bootstrap_auc,
    bootstrap_grid_auc,
    participant_strata,
)
from fedtune3d.evaluation.grid import grid_counts
from fedtune3d.evaluation.predictions import Predictions, participants_by_class


def predictions_of(labels: list[int], probabilities: list[float], participants: list[str] | None = None) -> Predictions:
    names = participants or [f"p{row:04d}" for row in range(len(labels))]
    return Predictions(tuple(names), ("",) * len(labels), np.array(labels), np.array(probabilities))


def binormal(rng: np.random.Generator, negatives: int, positives: int, auc: float) -> Predictions:
    labels = np.r_[np.zeros(negatives, int), np.ones(positives, int)]
    scores = rng.normal(labels * np.sqrt(2) * norm.ppf(auc), 1)
    return predictions_of(list(labels), list(norm.cdf(scores)))


def test_area_by_hand_with_a_tie() -> None:
    # Pairs (negative, positive): 0.2<0.5 right, 0.2<0.9 right, 0.5=0.5 half, 0.5<0.9 right.
    assert area_under_curve(np.array([0, 0, 1, 1]), np.array([0.2, 0.5, 0.5, 0.9])) == 3.5 / 4


def test_area_equals_scikit_learn_with_ties() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels, probabilities = rng.integers(0, 2, 40), rng.integers(0, 12, 40) / 12
        assert area_under_curve(labels, probabilities) == pytest.approx(roc_auc_score(labels, probabilities), abs=1e-14)


def test_area_needs_both_classes() -> None:
    with pytest.raises(ValueError, match="both classes"):
        area_under_curve(np.array([1, 1]), np.array([0.2, 0.3]))


def test_bootstrap_equals_resampled_scans_scored_by_scikit_learn() -> None:
    """The same multinomial draws, with each scan repeated as often as its person was drawn."""
    labels = [0, 0, 0, 1, 1, 0, 1]
    probabilities = [0.1, 0.4, 0.4, 0.4, 0.8, 0.7, 0.3]
    people = ["a", "a", "b", "c", "c", "d", "d"]  # d has scans of both labels
    predictions = predictions_of(labels, probabilities, people)
    strata = participant_strata(predictions)
    assert strata.tolist() == [0, 0, 1, 2]
    assert participants_by_class(predictions) == (3, 2)
    draws = bootstrap_auc(predictions, strata, np.random.default_rng(4))
    assert draws.shape == (2000,)
    rng = np.random.default_rng(4)
    ab = rng.multinomial(2, [0.5, 0.5], size=2000)
    for draw in range(50):  # c and d are alone in their strata
        times = np.array([ab[draw, 0], ab[draw, 0], ab[draw, 1], 1, 1, 1, 1])
        expected = roc_auc_score(np.repeat(labels, times), np.repeat(probabilities, times))
        assert draws[draw] == pytest.approx(expected, abs=1e-14)


@pytest.mark.ci
def test_chunks_of_draws_bound_memory() -> None:
    import tracemalloc

    predictions = binormal(np.random.default_rng(1), 5_000, 5_000, 0.8)
    tracemalloc.start()
    draws = bootstrap_auc(predictions, participant_strata(predictions), np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert draws.shape == (2000,)
    assert peak < 300e6  # all draws at once would hold 160 MB in each of some eight arrays
    assert draws.std() == pytest.approx(0.00436, rel=0.1)  # DeLong's normal-theory value for AUC 0.8 at 5,000 each


def test_grid_bootstrap_spreads_like_the_bootstrap_by_participant() -> None:
    predictions = binormal(np.random.default_rng(1), 60, 40, 0.8)
    strata = [
        (grid_counts(predictions.probabilities[predictions.labels == label]), count, label)
        for label, count in ((0, 60), (1, 40))
    ]
    on_grid = bootstrap_grid_auc(strata, np.random.default_rng(2))
    by_person = bootstrap_auc(predictions, participant_strata(predictions), np.random.default_rng(3))
    assert on_grid.mean() == pytest.approx(by_person.mean(), abs=0.005)
    assert on_grid.std() == pytest.approx(by_person.std(), rel=0.1)
