"""What `predict` says below its table."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from outcome_metrics import number_metrics

from fedtune3d._utils.folders import RunFolder
from fedtune3d.cli.predict_sentences import (
    at_test,
    how_to_read,
    known_warnings,
    predicted_sentences,
    scan_sentences,
    warnings_of_many,
)
from fedtune3d.config.class_names import ClassNames
from fedtune3d.evaluation.metrics import read_metrics
from fedtune3d.evaluation.outcome import BINARY, ClassOutcome, NumberOutcome
from fedtune3d.evaluation.recalibration import PlattScaling, Recalibrated
from fedtune3d.report.statements import calibration_words
from fedtune3d.workflows.known_scans import KnownScan
from fedtune3d.workflows.scan_predictions import AnyPrediction, ClassPrediction, NumberPrediction, Prediction

AGE = NumberOutcome("age", 40, 100, "years", "leave_out")
THREE = ClassOutcome(("CN", "MCI", "AD"))


@pytest.mark.parametrize("threshold", [0.5118, 0.00013, 0.9997])
def test_the_sentence_never_contradicts_itself(threshold: float) -> None:
    values = [threshold + step * 10**-power for power in range(2, 8) for step in (-3, -1, 0, 1, 3)]
    values = [value for value in values if 0 < value < 1]
    predictions = [
        Prediction(Path("a"), f"sub-{number:02}", value, value >= threshold, None, None)
        for number, value in enumerate(values)
    ]
    sentences = scan_sentences(predictions, BINARY, threshold, ClassNames("AD", "CN"))
    assert len(sentences) == len(values)
    for sentence, prediction in zip(sentences, predictions, strict=True):
        shown, side, cut, called = re.search(
            r"of AD is ([\d.]+), (at or above|below) the threshold of ([\d.]+), so the model says (AD|CN)\.",
            sentence,
        ).groups()
        assert (float(shown) >= float(cut)) == (side == "at or above") == (called == "AD") == prediction.positive


@pytest.mark.parametrize(
    ("probabilities", "words"),
    [
        ((0.3, 0.41, 0.29), "MCI has the highest probability, 0.410."),
        ((0.20, 0.41, 0.39), "MCI has the highest probability, 0.410, but AD is near, 0.390: the class is uncertain."),
        ((0.40, 0.40, 0.20), "CN has the highest probability, 0.400, but MCI is near, 0.400: the class is uncertain."),
    ],
)
def test_two_likeliest_classes_near_each_other_are_named(probabilities: tuple[float, ...], words: str) -> None:
    outcome = ClassOutcome(("CN", "MCI", "AD"))
    by_class = dict(zip(outcome.names, probabilities, strict=True))
    scan = ClassPrediction(Path("a"), "sub-1", by_class, None, None)
    assert scan_sentences([scan], outcome, None) == [f"sub-1: {words}"]


def test_a_class_that_is_named_by_a_number_is_called_a_class() -> None:
    scan = ClassPrediction(Path("a"), "sub-1", {"0": 0.41, "1": 0.39, "2": 0.2}, None, None)
    assert scan_sentences([scan], ClassOutcome(("0", "1", "2")), None) == [
        "sub-1: class 0 has the highest probability, 0.410, but class 1 is near, 0.390: the class is uncertain."
    ]


def test_how_the_model_did_at_test_stands_next_to_what_it_says(small_run: RunFolder) -> None:
    numbers = number_metrics()
    run = replace(read_metrics(small_run.metrics), methods={}, number_methods={"federated": numbers}, outcome=AGE)
    value, low, high = numbers.mean.mae.limits
    assert at_test(run) == [
        "On the test scans of its run: mean absolute test error over 3 sites "
        f"{value:.2f} years (95% CI {low:.2f}–{high:.2f}), few people."
    ]


def test_of_two_classes_the_rates_at_the_threshold_and_the_calibration_are_given(small_run: RunFolder) -> None:
    metrics, names = read_metrics(small_run.metrics), ClassNames("AD", "CN")
    pooled = metrics.federated.pooled
    hits, clear = pooled.confusion.sensitivity, pooled.confusion.specificity
    auc, at_threshold, calibrated = at_test(metrics, names)
    assert "mean test AUC" in auc
    assert at_threshold.startswith(f"At the threshold of {pooled.threshold:.3f}, all sites: sensitivity {hits} AD, ")
    assert f"specificity {clear} CN, " in at_threshold
    assert calibrated == f"Calibration, all sites: {calibration_words(pooled.calibration, names)}."
    scaling = PlattScaling(0.5, 0.1, (9, 8))
    two = replace(metrics.federated, recalibrated={"Pooled": Recalibrated(scaling, pooled.calibration)})
    assert at_test(replace(metrics, methods={"federated": two}))[-1].startswith("Calibration after recalibration: ")
    alone = replace(metrics, methods={"federated": replace(metrics.federated, pooled=None)})
    assert len(at_test(alone)) == 1


def test_several_scans_of_the_run_share_a_warning() -> None:
    splits = ("train", "train", "test")
    scans = [
        Prediction(Path("a"), f"sub-{number}", 0.8, True, None, None, known=KnownScan("AB"[number % 2], split))
        for number, split in enumerate(splits)
    ]
    new = Prediction(Path("a"), "sub-9", 0.8, True, None, None)
    several, one = known_warnings([*scans, new])
    assert several.startswith("Warning: 2 scans are training scans in this run")
    assert several.endswith("new scans: sub-0, sub-1")
    assert one.startswith("Warning: sub-2 is a test scan of A in this run")


def test_without_a_threshold_there_is_no_class() -> None:
    scan = Prediction(Path("a"), "b", 0.8, None, None, None)
    assert scan_sentences([scan], BINARY, None)[0].endswith("no class.")


def test_a_scan_of_the_run_is_warned_of() -> None:
    (warning,) = known_warnings([Prediction(Path("a"), "sub-1", 0.8, True, None, None, known=KnownScan("A", "train"))])
    assert warning.startswith("Warning: sub-1 is a training scan of A in this run")


@pytest.mark.parametrize(
    "unlike",
    [
        Prediction(Path("a"), "noise", 0.955, True, "site-A", 5.43),
        ClassPrediction(Path("a"), "noise", {"CN": 0.2, "MCI": 0.1, "AD": 0.7}, "site-A", 5.43),
        NumberPrediction(Path("a"), "noise", 71.0, "site-A", 5.43),
    ],
    ids=["two", "three", "number"],
)
def test_of_a_scan_out_of_distribution_it_says_first_not_to_use_the_prediction(unlike: AnyPrediction) -> None:
    outcome = {Prediction: BINARY, ClassPrediction: THREE, NumberPrediction: AGE}[type(unlike)]
    (text,) = scan_sentences([unlike], outcome, 0.028, ClassNames("AD", "CN"))
    assert text.startswith(
        "noise: do not use this prediction, as the scan is unlike the training scans of every site "
        "(5.4 × the limit of site-A, the nearest). "
    )
    assert re.search(r"\. (The probability of AD is 0\.955|AD has the highest|The model predicts age 71)", text)


def test_a_probability_never_reads_as_zero_or_one() -> None:
    low, high = (Prediction(Path("a"), "a", value, value > 0.5, None, None) for value in (1e-6, 1 - 1e-6))
    first, second = scan_sentences([low, high], BINARY, 0.5)
    assert "is <0.001, below the threshold of 0.500" in first
    assert "is >0.999, at or above the threshold of 0.500" in second
    of_three = ClassPrediction(Path("a"), "a", {"CN": 1e-7, "MCI": 1e-7, "AD": 1 - 2e-7}, None, None)
    assert scan_sentences([of_three], THREE, None) == ["a: AD has the highest probability, >0.999."]


def test_of_many_scans_the_rows_are_explained_once_and_only_warnings_have_names(small_run: RunFolder) -> None:
    predictor = SimpleNamespace(
        outcome=BINARY, names=ClassNames("AD", "CN"), threshold=0.028, metrics=read_metrics(small_run.metrics)
    )
    usual = [
        Prediction(Path("a"), f"sub-{number}", 0.8, True, "A", 0.5, known=KnownScan("A", split))
        for number, split in enumerate(("train", "train", "test"))
    ]
    unlike = Prediction(Path("a"), "noise", 0.955, True, "A", 5.43)
    few = predicted_sentences(usual, predictor)
    assert sum("the model says" in line for line in few) == 3
    many = predicted_sentences([*usual, unlike], predictor)
    assert many[0] == (
        "Each row gives the probability of AD and the class that follows from it: AD at 0.028 or above, else CN, and "
        "then the distance from the training scans of the nearest site, as a multiple of its limit."
    )
    assert not any("the model says" in line for line in many)
    assert many[1:3] == [
        "Warning: do not use the prediction of 1 scan unlike the training scans of every site: "
        "noise (5.4 × the limit of A)",
        "Warning: this run used 3 of these 4 scans (2 training, 1 test; see the last column of the table); their "
        "predictions say nothing about new scans.",
    ]
    assert many[3].startswith("On the test scans of its run: ")


def test_many_scans_of_several_classes_or_of_a_number_are_explained_too() -> None:
    assert how_to_read(THREE, None, compared=False) == (
        "Each row gives the class with the highest probability and the probability of each class."
    )
    assert how_to_read(AGE, None).startswith("Each row gives the predicted age, and then the distance")
    assert "without a class, as the run has no threshold." in how_to_read(BINARY, None, compared=False)
    near, clear = ({"CN": 0.1, "MCI": 0.44, "AD": 0.46}, {"CN": 0.1, "MCI": 0.1, "AD": 0.8})
    scans = [ClassPrediction(Path("a"), f"sub-{n}", by, None, None) for n, by in enumerate((clear, near, clear, clear))]
    assert warnings_of_many(scans) == [
        "Warning: the class of 1 scan is uncertain, as the probabilities of two classes differ by less than 0.1: sub-1"
    ]
    unlike = NumberPrediction(Path("a"), "noise", 71.0, "A", 5.43)
    assert warnings_of_many([unlike] * 4)[0].startswith("Warning: do not use the prediction of 4 scans unlike")
