"""The AUC of test scans with its interval, by the score interval and by the bootstrap."""

import time

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from fedtune3d.evaluation.auc_estimate import auc_estimate, score_estimate_from_counts, variance_of
from fedtune3d.evaluation.auc_interval import newcombe
from fedtune3d.evaluation.class_counts import ClassCounts
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.predictions import Predictions


def predictions_of(labels: list[int], probabilities: list[float], participants: list[str] | None = None) -> Predictions:
    names = participants or [f"p{row:04d}" for row in range(len(labels))]
    return Predictions(tuple(names), ("",) * len(labels), np.array(labels), np.array(probabilities))


def binormal(rng: np.random.Generator, negatives: int, positives: int, auc: float) -> Predictions:
    labels = np.r_[np.zeros(negatives, int), np.ones(positives, int)]
    scores = rng.normal(labels * np.sqrt(2) * norm.ppf(auc), 1)
    return predictions_of(list(labels), list(norm.cdf(scores)))


def score(predictions: Predictions) -> Estimate:
    return auc_estimate(predictions, "score", np.random.default_rng(0))


def bootstrap(predictions: Predictions, seed: int = 0) -> Estimate:
    return auc_estimate(predictions, "bootstrap", np.random.default_rng(seed))


def test_the_score_interval_by_other_code() -> None:
    """DeLong's variance pair by pair, and the limits as roots of a polynomial."""
    predictions = binormal(np.random.default_rng(1), 12, 9, 0.8)
    cases, controls = (predictions.probabilities[predictions.labels == label] for label in (1, 0))
    psi = (cases[:, None] > controls).astype(float)
    auc = psi.mean()
    delong = psi.mean(axis=1).var(ddof=1) / 9 + psi.mean(axis=0).var(ddof=1) / 12
    middle, balanced = (auc * 108 + 0.5) / 109, 21 / 2 - 1

    def model(theta: float) -> float:
        return theta * (1 - theta) * (1 + balanced * ((1 - theta) / (2 - theta) + theta / (1 + theta))) / 108

    ratio = (8 * delong / model(middle) + 15) / 23
    assert variance_of(predictions).ratio == pytest.approx(ratio)
    got = score(predictions)
    assert got.value == pytest.approx(roc_auc_score(predictions.labels, predictions.probabilities))
    for limit in (got.low, got.high):
        assert (limit - auc) ** 2 == pytest.approx(1.959963984540054**2 * ratio * model(limit), rel=1e-9)
    assert got.low < auc < got.high
    assert (got.mark, got.method[:14]) == ("few", "score interval")


def test_no_jump_where_a_pair_turns_or_a_person_is_added() -> None:
    """A perfect AUC, one pair wrong, and ten or eleven people a class have nearly the same interval."""
    perfect = predictions_of([0] * 10 + [1] * 10, list(np.linspace(0, 1, 20)))
    swapped = predictions_of([0] * 9 + [1, 0] + [1] * 9, list(np.linspace(0, 1, 20)))
    more = predictions_of([0] * 11 + [1] * 11, list(np.linspace(0, 1, 22)))
    lows = [score(part).low for part in (perfect, swapped, more)]
    assert abs(lows[0] - lows[1]) < 0.05, lows
    assert abs(lows[0] - lows[2]) < 0.02, lows
    assert score(perfect).high == 1


def test_counts_give_the_same_interval_with_one_scan_each() -> None:
    predictions = binormal(np.random.default_rng(5), 30, 20, 0.8)
    ranks = np.argsort(np.argsort(predictions.probabilities))
    counts = [np.bincount(ranks[predictions.labels == label], minlength=50) for label in (0, 1)]
    got, exact = score_estimate_from_counts(*counts, (30, 20), "ranks"), score(predictions)
    assert got.limits == pytest.approx(exact.limits)
    assert got.method.endswith("; ranks")
    grid = ClassCounts.of(predictions).dense()
    assert score_estimate_from_counts(*grid, (30, 20), "grid").limits == pytest.approx(exact.limits, abs=0.01)


def test_copies_of_scans_add_nothing_to_the_score_interval() -> None:
    single = binormal(np.random.default_rng(1), 15, 15, 0.75)
    labels, probabilities = np.repeat(single.labels, 10), np.repeat(single.probabilities, 10)
    copies = predictions_of(list(labels), list(probabilities), list(np.repeat(single.participants, 10)))
    assert score(copies).limits == pytest.approx(score(single).limits)
    assert "Obuchowski" in score(copies).method


def test_one_person_in_a_class_has_newcombes_interval() -> None:
    got = score(predictions_of([0, 0, 0, 1], [0.1, 0.2, 0.8, 0.5]))
    assert (got.low, got.high) == pytest.approx(newcombe(2 / 3, 3, 1))


def test_row_order_does_not_matter_and_the_seed_does() -> None:
    predictions = binormal(np.random.default_rng(1), 30, 20, 0.8)
    order = np.random.default_rng(2).permutation(50)
    shuffled = Predictions(
        tuple(predictions.participants[row] for row in order),
        predictions.sessions,
        predictions.labels[order],
        predictions.probabilities[order],
    )
    first = bootstrap(predictions, 3)
    assert first == bootstrap(shuffled, 3)
    assert first != bootstrap(predictions, 5)
    assert first.mark is None
    assert first.low < first.value < first.high


def test_bootstrap_of_copied_scans_is_that_of_the_people() -> None:
    """Ten copies of every scan under the same name add nothing; under new names they would narrow the interval."""
    single = binormal(np.random.default_rng(1), 15, 15, 0.75)
    labels, probabilities = np.repeat(single.labels, 10), np.repeat(single.probabilities, 10)
    copies = predictions_of(list(labels), list(probabilities), list(np.repeat(single.participants, 10)))
    strangers = predictions_of(list(labels), list(probabilities))
    expected, got, narrow = (bootstrap(p, 3) for p in (single, copies, strangers))
    assert got == pytest.approx(expected)
    assert narrow.high - narrow.low < 0.5 * (got.high - got.low)


def test_few_people_get_newcombes_interval_beside_bootstraps() -> None:
    few = binormal(np.random.default_rng(1), 9, 30, 0.75)
    got = bootstrap(few)
    assert got.mark == "few"
    assert "Newcombe" in got.method
    assert (got.low, got.high) == pytest.approx(newcombe(got.value, 9, 30))


def test_few_counts_people_not_scans() -> None:
    people = [f"p{row % 9}" for row in range(20)] + [f"q{row}" for row in range(20)]
    got = bootstrap(predictions_of([0] * 20 + [1] * 20, list(np.linspace(0, 1, 40)[::-1]), people))
    assert (got.mark, got.value, got.low) == ("few", 0.0, 0.0)
    assert got.high == pytest.approx(newcombe(0.0, 9, 20)[1])


def test_perfect_separation_has_an_interval() -> None:
    got = bootstrap(predictions_of([0] * 30 + [1] * 30, list(np.linspace(0, 1, 60))))
    assert (got.value, got.high, got.mark) == (1.0, 1.0, "few")
    assert 0.9 < got.low < 1.0


@pytest.mark.parametrize(
    ("labels", "why"),
    [([], "no test scans"), ([0, 0], "all 2 test scans negative"), ([1], "all 1 test scans positive")],
)
def test_undefined_says_why(labels: list[int], why: str) -> None:
    for got in (
        bootstrap(predictions_of(labels, [0.5] * len(labels))),
        score(predictions_of(labels, [0.5] * len(labels))),
    ):
        assert got.value is got.low is got.high is None
        assert why in got.undefined


def test_a_hundred_people_take_well_under_a_second() -> None:
    predictions = binormal(np.random.default_rng(1), 50, 50, 0.8)
    start = time.perf_counter()
    bootstrap(predictions)
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize(("negatives", "positives"), [(3, 3), (3, 9), (9, 9)])
@pytest.mark.parametrize("auc", [0.70, 0.95])
def test_small_samples_are_covered(negatives: int, positives: int, auc: float) -> None:
    rng, covered = np.random.default_rng(7), 0
    for _ in range(400):
        got = score(binormal(rng, negatives, positives, auc))
        covered += got.low <= auc <= got.high
    assert 0.92 <= covered / 400 <= 1.0
