"""The cross-validated AUC: within folds, with an interval to be checked by hand; and calibration out of fold."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from fedtune3d._utils.folders import CrossValidationFolder
from fedtune3d._utils.typed_json import write_typed
from fedtune3d.evaluation import Predictions, summarise
from fedtune3d.evaluation.auc import area_under_curve
from fedtune3d.evaluation.auc_interval import AucVariance, mean_auc_interval, newcombe_variance
from fedtune3d.evaluation.calibration import calibration
from fedtune3d.evaluation.cross_validation import (
    CrossValidationResults,
    FoldAuc,
    FoldNumber,
    all_folds,
    cross_validated_auc,
    cross_validated_methods,
    inflation,
)
from fedtune3d.evaluation.estimate import Z
from fedtune3d.evaluation.pooled_auc import pool
from fedtune3d.evaluation.sample import Sample
from fedtune3d.evaluation.summary import Summary

VARIANCE = AucVariance(1.0, 6, 6)


def folds_of(repeats: Sequence[Sequence[float | None]]) -> list[FoldAuc]:
    return [
        FoldAuc(repeat, fold, auc, None if auc is None else VARIANCE)
        for repeat, aucs in enumerate(repeats, start=1)
        for fold, auc in enumerate(aucs, start=1)
    ]


def limits_of(folds: Mapping[str, Sequence[FoldAuc]]) -> tuple[float, float, float]:
    limits = cross_validated_auc(folds).estimate.limits
    assert limits is not None
    return limits


def test_the_interval_solves_its_equation() -> None:
    value, low, high = limits_of({"A": folds_of([[0.7, 0.8, 0.9]])})
    assert value == pytest.approx(0.8)
    for limit in (low, high):
        variance = (1 + 3 / 2) * 3 * newcombe_variance(limit, 6, 6) / 9
        assert (limit - value) ** 2 == pytest.approx(Z**2 * variance)


def test_repeats_add_certainty_about_training_but_none_about_people() -> None:
    twice = {"A": folds_of([[0.7, 0.8, 0.9], [0.9, 0.8, 0.7]])}
    value, low, _ = limits_of(twice)
    assert (low - value) ** 2 == pytest.approx(Z**2 * (1 / 2 + 3 / 2) * newcombe_variance(low, 6, 6) / 3)
    assert inflation(5, 1) == pytest.approx(2.25)
    assert inflation(5, 1000) > 1.25  # however many repeats: never less than the people tested allow


def test_the_inflated_variance_is_the_corrected_resampled_one() -> None:
    """(1/J + n_test/n_train) σ², with σ² the variance of a fold; as Nadeau and Bengio have it, of 60 people here."""
    folds, repeats, of_a_fold = 5, 2, 0.03
    given_the_models = repeats * folds * repeats * of_a_fold / (folds * repeats) ** 2
    expected = (1 / (folds * repeats) + 12 / 48) * of_a_fold
    assert inflation(folds, repeats) * given_the_models == pytest.approx(expected)


def test_sites_are_independent_and_count_equally() -> None:
    """Of two folds it is the interval of the mean over sites, of 1 + 2 times the variance."""
    several = {"A": folds_of([[0.6, 0.8]]), "B": folds_of([[0.9, 0.9]])}
    tripled = AucVariance(3 * VARIANCE.ratio, 6, 6)
    assert limits_of(several) == pytest.approx((0.8, *mean_auc_interval([0.6, 0.8, 0.9, 0.9], [tripled] * 4)))
    uneven = {"A": folds_of([[0.6, 0.8]]), "B": folds_of([[0.9, None]])}
    value, low, _ = limits_of(uneven)
    assert value == pytest.approx((0.7 + 0.9) / 2)
    variance = (2 * newcombe_variance(low, 6, 6) / 4 + newcombe_variance(low, 6, 6)) / 4
    assert (low - value) ** 2 == pytest.approx(Z**2 * 3 * variance)


def test_the_spread_is_within_repeats_and_between_them() -> None:
    found = cross_validated_auc({"A": folds_of([[0.6, 0.8], [0.7, 0.9]])})
    assert found.sd_folds == pytest.approx(math.sqrt(0.02))
    assert found.sd_repeats == pytest.approx(math.sqrt(0.005))
    assert found.values == [0.6, 0.8, 0.7, 0.9]
    alone = cross_validated_auc({"A": folds_of([[None, 0.8]])})
    assert (alone.sd_folds, alone.sd_repeats, alone.estimate.value) == (None, None, 0.8)


def test_without_all_folds_or_any_auc_there_is_no_estimate() -> None:
    some = cross_validated_auc({"A": folds_of([[0.6, 0.8]])}, "2 of 5 folds are finished")
    assert (some.estimate.value, some.estimate.undefined) == (None, "2 of 5 folds are finished")
    assert some.values == [0.6, 0.8]
    none = cross_validated_auc({"A": folds_of([[None, None]])})
    assert none.estimate.undefined == "no fold has test scans of both classes"


def predictions_of(rng: np.random.Generator, offset: float, people: int = 20) -> Predictions:
    """A perfect order within the fold; the model's scores are shifted as a whole."""
    labels = np.arange(people) % 2
    logits = 0.2 * (labels - 0.5) + rng.uniform(-0.05, 0.05, people) + offset
    names = tuple(f"p{offset}-{number}" for number in range(people))
    return Predictions(names, ("",) * people, labels, 1 / (1 + np.exp(-logits)))


def summaries_of(folds: Mapping[FoldNumber, Predictions]) -> dict[FoldNumber, dict[str, dict[str, Summary]]]:
    nobody = Predictions((), (), np.zeros(0), np.zeros(0))
    return {
        number: {"A": {"federated": summarise(nobody, test, 0, share_predictions=False)}}
        for number, test in folds.items()
    }


def test_scores_of_different_models_are_never_pooled_to_rank_scans() -> None:
    """Each model orders its own scans perfectly; pooled, their offsets would hide it."""
    rng = np.random.default_rng(0)
    folds = {FoldNumber(1, fold): predictions_of(rng, offset) for fold, offset in ((1, -1.0), (2, 0.0), (3, 1.0))}
    pooled = pool(list(folds.values()))
    assert area_under_curve(pooled.labels, pooled.probabilities) < 0.7
    found = cross_validated_methods(summaries_of(folds), ["A"], all_folds(3, 1))["federated"]
    assert found.sites["A"].estimate.value == found.mean.estimate.value == 1.0


def test_noise_is_not_mistaken_for_the_opposite_by_folds_of_another_prevalence() -> None:
    """A model without information that predicts the prevalence of its training set: within folds its AUC is ½.

    Where a fold holds more positives, its training set holds fewer, so that pooled scores would rank them backwards.
    """
    folds = {}
    for fold, positives in enumerate((3, 5, 7, 9), start=1):
        labels = np.array([1] * positives + [0] * (12 - positives))
        score = (24 - positives) / 36
        folds[FoldNumber(1, fold)] = Predictions(
            tuple(f"p{fold}-{number}" for number in range(12)), ("",) * 12, labels, np.full(12, score)
        )
    pooled = pool(list(folds.values()))
    assert area_under_curve(pooled.labels, pooled.probabilities) < 0.4
    found = cross_validated_methods(summaries_of(folds), ["A"], all_folds(4, 1))["federated"]
    assert found.mean.estimate.value == 0.5


def test_calibration_is_that_of_all_out_of_fold_predictions_together() -> None:
    rng = np.random.default_rng(1)
    folds = {}
    for number in all_folds(2, 2):
        labels = rng.permutation(np.arange(40) % 2)
        probabilities = np.clip(0.5 + 0.2 * (labels - 0.5) + rng.normal(0, 0.2, 40), 0.02, 0.98)
        names = tuple(f"p{number.fold}-{person}" for person in range(40))
        folds[number] = Predictions(names, ("",) * 40, labels, probabilities)
    found = cross_validated_methods(summaries_of(folds), ["A"], all_folds(2, 2))["federated"].calibration
    each = [
        calibration(Sample.of_predictions(pool([folds[FoldNumber(repeat, fold)] for fold in (1, 2)])))
        for repeat in (1, 2)
    ]
    assert found.keys() == {"A", "Pooled"}
    assert found["A"] == found["Pooled"]
    for name in ("slope", "intercept", "brier"):
        of_repeats = [getattr(part, name).value for part in each]
        assert getattr(found["A"], name).value == pytest.approx(np.mean(of_repeats), abs=0.01), name


def test_nothing_is_estimated_before_the_last_fold(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    folds = {FoldNumber(1, fold): predictions_of(rng, 0.0) for fold in (1, 2)}
    methods = cross_validated_methods(summaries_of(folds), ["A"], all_folds(3, 1))
    assert methods["federated"].mean.estimate.undefined == "2 of 3 folds are finished"
    assert methods["federated"].calibration == {}
    assert cross_validated_methods({}, ["A"], all_folds(3, 1)) == {}
    results = CrossValidationResults(1, "x", 3, 1, ("A",), {"repeat1-fold3": "killed"}, methods)
    folder = CrossValidationFolder(tmp_path)
    write_typed(folder.results, results)
    assert CrossValidationResults.read(folder) == results
