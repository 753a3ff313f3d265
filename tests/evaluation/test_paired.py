from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.typed_json import from_json, to_json
from fedtune3d.evaluation.estimate import NO_VARIANCE
from fedtune3d.evaluation.paired import (
    SAME_RANKING,
    Comparison,
    combine_comparisons,
    paired_delong,
    paired_over_seeds,
    require_possible,
)
from fedtune3d.evaluation.predictions import Predictions


def reordered(predictions: Predictions, order: np.ndarray) -> Predictions:
    return Predictions(
        tuple(predictions.participants[row] for row in order),
        tuple(predictions.sessions[row] for row in order),
        predictions.labels[order],
        predictions.probabilities[order],
    )


@pytest.mark.parametrize(
    ("test", "difference", "error", "chi_squared", "p_value"),
    [("albumin", 0.0108, 0.0953, 0.0127, 0.9102), ("protein", -0.0780, 0.1046, 0.5554, 0.4561)],
)
def test_differences_from_the_kg_score_are_those_that_sas_prints(
    test: str, difference: float, error: float, chi_squared: float, p_value: float, ovarian: Callable
) -> None:
    got = paired_delong(ovarian(test), ovarian("K-G"))
    assert round(got.difference.value, 4) == difference
    assert round(got.standard_error, 4) == error
    assert round((got.difference.value / got.standard_error) ** 2, 4) == chi_squared
    assert round(got.p_value, 4) == p_value
    assert (got.scans, from_json(Comparison, to_json(got))) == (43, got)


def test_order_of_rows_does_not_matter_and_swapping_turns_the_sign(ovarian: Callable) -> None:
    first, second = ovarian("albumin"), ovarian("protein")
    shuffled = reordered(second, np.random.default_rng(0).permutation(len(second)))
    got = paired_delong(first, shuffled)
    assert got == paired_delong(first, second)
    assert paired_delong(second, first).difference.value == pytest.approx(-got.difference.value)


def test_scans_that_differ_are_refused(ovarian: Callable) -> None:
    first = ovarian("albumin")
    with pytest.raises(
        InputError, match="1 are only in the first and 0 only in the second; compare runs with the same seed"
    ):
        paired_delong(first, reordered(first, np.arange(1, 43)))
    flipped = Predictions(first.participants, first.sessions, 1 - first.labels, first.probabilities)
    with pytest.raises(InputError, match="the same labels"):
        paired_delong(first, flipped)
    twice = Predictions(("a", "a"), ("", ""), np.array([0, 1]), np.array([0.2, 0.4]))
    with pytest.raises(InputError, match="are repeated"):
        paired_delong(twice, twice)


def test_models_that_rank_alike_have_no_p_value(ovarian: Callable) -> None:
    first = ovarian("albumin")
    halved = Predictions(first.participants, first.sessions, first.labels, first.probabilities / 2)
    got = paired_delong(first, halved)
    assert (got.first, got.second, got.standard_error, got.p_value) == (
        pytest.approx(0.7366, abs=1e-4),
        got.first,
        0,
        None,
    )
    assert got.difference.undefined == SAME_RANKING


def test_models_whose_aucs_differ_do_not_rank_alike(one_scan_each: Callable) -> None:
    """One model orders all scans correctly, the other has one value for all: no variance, but no tie either."""
    labels = np.array([1, 1, 0, 0])
    right, constant = (one_scan_each(labels, scores) for scores in (np.array([0.9, 0.8, 0.2, 0.1]), np.full(4, 0.5)))
    got = paired_delong(right, constant)
    assert (got.first, got.second, got.standard_error, got.p_value) == (1, 0.5, 0, None)
    assert got.difference.undefined == NO_VARIANCE
    assert combine_comparisons({"A": got, "B": got}).difference.undefined == NO_VARIANCE
    require_possible(from_json(Comparison, to_json(got)))


@pytest.mark.parametrize("scans_each", [1, 3])
def test_two_equal_models_differ_as_often_as_the_level_says(scans_each: int, clustered: Callable) -> None:
    """Of 300 pairs of models with one AUC on the same people, 5 % should have p < 0.05."""
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(300):
        first, second = (clustered(rng, 100, scans_each, 0.75, converters=False) for _ in range(2))
        found += paired_delong(first, second).p_value < 0.05
    assert 0.02 <= found / 300 <= 0.08


def test_sites_are_combined_from_numbers_alone(ovarian: Callable, one_scan_each: Callable) -> None:
    """Mean of the differences; standard error √(Σ se²) / k."""
    comparisons = {
        "A": paired_delong(ovarian("albumin"), ovarian("K-G")),
        "B": paired_delong(ovarian("protein"), ovarian("K-G")),
        "one class": paired_delong(*[one_scan_each(np.array([1, 1]), np.array([0.1, 0.2]))] * 2),
    }
    got = combine_comparisons({site: from_json(Comparison, to_json(part)) for site, part in comparisons.items()})
    parts = [comparisons[site] for site in "AB"]
    assert got.sites == ("A", "B")
    assert got.difference.value == pytest.approx(np.mean([part.difference.value for part in parts]))
    assert got.standard_error == pytest.approx(np.hypot(*(part.standard_error for part in parts)) / 2)
    assert got.scans == 86
    nothing = combine_comparisons({"one class": comparisons["one class"]})
    assert (nothing.p_value, nothing.difference.undefined) == (None, "no site has two test people of each class")


def renamed(predictions: Predictions, prefix: str) -> Predictions:
    names = tuple(prefix + name for name in predictions.participants)
    return Predictions(names, predictions.sessions, predictions.labels, predictions.probabilities)


def test_the_same_people_in_two_seeds_add_no_certainty(ovarian: Callable) -> None:
    pair = ovarian("albumin"), ovarian("K-G")
    once, twice = paired_over_seeds({0: pair}), paired_over_seeds({0: pair, 1: pair})
    assert once == paired_delong(*pair)
    assert twice.standard_error == pytest.approx(once.standard_error)
    assert twice.difference.limits == pytest.approx(once.difference.limits)
    assert "clusters over seeds" in twice.difference.method


def test_other_people_in_each_seed_are_independent(ovarian: Callable) -> None:
    pairs = {seed: tuple(renamed(ovarian(test), str(seed)) for test in ("albumin", "K-G")) for seed in range(3)}
    once, thrice = paired_delong(*pairs[0]), paired_over_seeds(pairs)
    assert thrice.standard_error == pytest.approx(once.standard_error / np.sqrt(3))
    assert thrice.difference.value == pytest.approx(once.difference.value)
    assert thrice.scans == 3 * once.scans


def test_folds_that_share_training_people_have_a_larger_variance(ovarian: Callable) -> None:
    pairs = {fold: tuple(renamed(ovarian(test), str(fold)) for test in ("albumin", "K-G")) for fold in range(3)}
    given_the_models, corrected = paired_over_seeds(pairs), paired_over_seeds(pairs, "fold", 2.25)
    assert corrected.standard_error == pytest.approx(1.5 * given_the_models.standard_error)
    assert corrected.difference.value == given_the_models.difference.value
    assert corrected.p_value > given_the_models.p_value
    assert "clusters over folds" in corrected.difference.method
    assert "Nadeau and Bengio 2003" in corrected.difference.method


def test_partly_the_same_people_by_resampling(clustered: Callable) -> None:
    """The standard error over two seeds with half of the people in common, against a bootstrap of people."""
    rng = np.random.default_rng(4)
    everyone = [clustered(np.random.default_rng(seed), 90, 1, auc, False) for seed, auc in ((1, 0.8), (2, 0.7))]
    rows = {0: np.arange(60), 1: np.arange(30, 90)}
    seeds = {seed: tuple(reordered(part, own) for part in everyone) for seed, own in rows.items()}
    got = paired_over_seeds(seeds)
    labels = everyone[0].labels
    negatives, positives = (np.flatnonzero(labels == label) for label in (0, 1))
    # For each pair of a negative and a positive, whether the first model ranks it right, less whether the second does.
    one, other = (
        (part.probabilities[positives] > part.probabilities[negatives][:, None]).astype(float) for part in everyone
    )
    inside = {seed: [np.isin(members, own) for members in (negatives, positives)] for seed, own in rows.items()}
    drawn = []
    for _ in range(2000):
        counts = [
            rng.multinomial(len(members), np.full(len(members), 1 / len(members))) for members in (negatives, positives)
        ]
        aucs = []
        for kept in inside.values():
            first, second = (count * part for count, part in zip(counts, kept, strict=True))
            aucs.append(first @ (one - other) @ second / (first.sum() * second.sum()))
        drawn.append(np.mean(aucs))
    assert got.standard_error == pytest.approx(np.std(drawn), rel=0.12)


def test_a_comparison_that_cannot_be_is_refused(ovarian: Callable) -> None:
    sent = paired_delong(ovarian("albumin"), ovarian("K-G"))
    require_possible(sent)
    for change in (
        {"p_value": 0.001},
        {"standard_error": -1.0},
        {"first": 1.2},
        {"difference": replace(sent.difference, value=0.3)},
    ):
        with pytest.raises(ValueError, match="comparison of the AUCs"):
            require_possible(replace(sent, **change))
