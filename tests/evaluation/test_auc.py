import time

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from fedtune3d.evaluation.auc import (
    area_under_curve,
    auc_estimate,
    bootstrap_auc,
    bootstrap_grid_auc,
    participant_strata,
)
from fedtune3d.evaluation.grid import grid_counts
from fedtune3d.evaluation.intervals import newcombe
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


def test_row_order_does_not_matter_and_the_seed_does() -> None:
    predictions = binormal(np.random.default_rng(1), 30, 20, 0.8)
    order = np.random.default_rng(2).permutation(50)
    shuffled = Predictions(
        tuple(predictions.participants[row] for row in order),
        predictions.sessions,
        predictions.labels[order],
        predictions.probabilities[order],
    )
    first = auc_estimate(predictions, np.random.default_rng(3))
    assert first == auc_estimate(shuffled, np.random.default_rng(3))
    assert first != auc_estimate(predictions, np.random.default_rng(5))
    assert first.mark is None
    assert first.low < first.value < first.high


def test_interval_of_copied_scans_is_that_of_the_people() -> None:
    """Ten copies of every scan under the same name add nothing; under new names they would narrow the interval."""
    single = binormal(np.random.default_rng(1), 15, 15, 0.75)
    labels, probabilities = np.repeat(single.labels, 10), np.repeat(single.probabilities, 10)
    copies = predictions_of(list(labels), list(probabilities), list(np.repeat(single.participants, 10)))
    strangers = predictions_of(list(labels), list(probabilities))
    expected, got, narrow = (auc_estimate(p, np.random.default_rng(3)) for p in (single, copies, strangers))
    assert got == pytest.approx(expected)
    assert narrow.high - narrow.low < 0.5 * (got.high - got.low)


def test_few_people_get_the_small_sample_interval() -> None:
    few = binormal(np.random.default_rng(1), 9, 30, 0.75)
    got = auc_estimate(few, np.random.default_rng(0))
    assert got.mark == "few"
    assert "Newcombe" in got.method
    assert (got.low, got.high) == pytest.approx(newcombe(got.value, 9, 30))


def test_few_counts_people_not_scans() -> None:
    people = [f"p{row % 9}" for row in range(20)] + [f"q{row}" for row in range(20)]
    got = auc_estimate(predictions_of([0] * 20 + [1] * 20, list(np.linspace(0, 1, 40)[::-1]), people), None)
    assert (got.mark, got.value, got.low) == ("few", 0.0, 0.0)
    assert got.high == pytest.approx(newcombe(0.0, 9, 20)[1])


def test_perfect_separation_has_an_interval() -> None:
    got = auc_estimate(predictions_of([0] * 30 + [1] * 30, list(np.linspace(0, 1, 60))), None)
    assert (got.value, got.high, got.mark) == (1.0, 1.0, "few")
    assert 0.9 < got.low < 1.0


@pytest.mark.parametrize(
    ("labels", "why"),
    [([], "no test scans"), ([0, 0], "all 2 test scans negative"), ([1], "all 1 test scans positive")],
)
def test_undefined_says_why(labels: list[int], why: str) -> None:
    got = auc_estimate(predictions_of(labels, [0.5] * len(labels)), None)
    assert got.value is got.low is got.high is None
    assert why in got.undefined


def test_a_hundred_people_take_well_under_a_second() -> None:
    predictions = binormal(np.random.default_rng(1), 50, 50, 0.8)
    start = time.perf_counter()
    auc_estimate(predictions, np.random.default_rng(0))
    assert time.perf_counter() - start < 1.0


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


def coverage(negatives: int, positives: int, auc: float, datasets: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    covered = 0
    for _ in range(datasets):
        got = auc_estimate(binormal(rng, negatives, positives, auc), rng)
        covered += got.low <= auc <= got.high
    return covered / datasets


@pytest.mark.parametrize(("negatives", "positives"), [(3, 3), (3, 9), (5, 20), (9, 9)])
@pytest.mark.parametrize("auc", [0.70, 0.85, 0.95])
def test_small_samples_are_covered(negatives: int, positives: int, auc: float) -> None:
    got = coverage(negatives, positives, auc, datasets=1_000, seed=7)
    print(f"coverage of the 95 % interval, {negatives} against {positives} at AUC {auc}: {got:.3f}")
    assert 0.92 <= got <= 1.0


@pytest.mark.slow
@pytest.mark.parametrize("auc", [0.70, 0.85])
def test_a_hundred_a_class_are_covered(auc: float) -> None:
    got = coverage(100, 100, auc, datasets=2_000, seed=7)
    fifteen = coverage(15, 15, auc, datasets=2_000, seed=8)
    print(f"coverage of the 95 % interval at AUC {auc}: 100 a class {got:.3f}, 15 a class {fifteen:.3f}")
    assert 0.93 <= got <= 0.97
