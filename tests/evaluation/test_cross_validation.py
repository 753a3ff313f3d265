"""The cross-validated AUC: within folds, with an interval to be checked by hand; and calibration out of fold."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from fedtune3d._utils.folders import CrossValidationFolder
from fedtune3d._utils.typed_json import write_typed
from fedtune3d.evaluation import Predictions, summarise
from fedtune3d.evaluation.auc import area_under_curve
from fedtune3d.evaluation.calibration import calibration
from fedtune3d.evaluation.cross_validated import FoldNumber, all_folds
from fedtune3d.evaluation.cross_validation import CrossValidationResults, cross_validated_methods
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.summary import summarise_classes
from fedtune3d.evaluation.sample import Sample
from fedtune3d.evaluation.scan_rows import pool
from fedtune3d.evaluation.summary import Summary


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
    results = CrossValidationResults(2, "x", 3, 1, ("A",), {"repeat1-fold3": "killed"}, methods)
    folder = CrossValidationFolder(tmp_path)
    write_typed(folder.results, results)
    assert CrossValidationResults.read(folder) == results


def test_several_classes_have_the_mean_of_macro_aucs_within_folds() -> None:
    """Each fold's is scikit-learn's; the models' offsets, which pooling would mix up, do not matter."""
    rng, folds, expected = np.random.default_rng(4), {}, []
    for number in all_folds(3, 1):
        truth = rng.permutation(np.arange(24) % 3)
        logits = np.eye(3)[truth] + rng.normal(0, 1, (24, 3)) + [number.fold, 0, -number.fold]
        names = tuple(f"p{number.fold}-{person}" for person in range(24))
        test = ClassPredictions(names, ("",) * 24, truth, softmax(logits, axis=1))
        folds[number] = {"A": {"federated": summarise_classes(test, ("CN", "MCI", "AD"), False)}}
        expected.append(roc_auc_score(truth, test.probabilities, multi_class="ovr", average="macro"))
    found = cross_validated_methods(folds, ["A", "B"], all_folds(3, 1))["federated"]
    assert found.main == "macro_auc"
    assert found.sites["A"].values == pytest.approx(expected, abs=1e-9)
    assert found.mean.estimate.value == pytest.approx(np.mean(expected), abs=1e-9)
    assert found.sites["B"].estimate.undefined == "no fold has test scans of every class"
    assert (found.calibration, found.residuals) == ({}, {})
    assert found.mean.estimate.low is not None
    assert found.mean.estimate.low < np.mean(expected) < (found.mean.estimate.high or 0)
