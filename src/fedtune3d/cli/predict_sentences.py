"""The sentences of `predict` below its table: what the model says of each scan, and how far to trust it."""

from collections.abc import Iterator, Sequence

from fedtune3d.cli.predict_table import MOST_SENTENCES, SETS, distance_text, shown_digits
from fedtune3d.config.class_names import UNNAMED, ClassNames, class_title
from fedtune3d.evaluation.metrics import MethodMetrics, RunMetrics
from fedtune3d.evaluation.outcome import NumberOutcome, Outcome
from fedtune3d.report.headline import headline
from fedtune3d.report.number_formatting import plural, probability_text, sentence_case
from fedtune3d.report.number_formatting import threshold as threshold_text
from fedtune3d.report.statements import calibration_words, rates
from fedtune3d.workflows.predict import Predictor
from fedtune3d.workflows.scan_predictions import AnyPrediction, ClassPrediction, NumberPrediction, Prediction

NEAR = 0.1
"""Of the two likeliest classes: a difference of probabilities below which they are called near each other."""


def predicted_sentences(predictions: Sequence[AnyPrediction], predictor: Predictor) -> list[str]:
    """Say what the model says of each scan, how it did at test, and warn of scans that were part of the run.

    Of more than `MOST_SENTENCES` scans, only how to read the table, and which predictions not to use.
    """
    outcome, names, threshold = predictor.outcome, predictor.names, predictor.threshold
    tested = at_test(predictor.metrics, names)
    if len(predictions) <= MOST_SENTENCES:
        sentences = scan_sentences(predictions, outcome, threshold, names)
        return [*sentences, *tested, *known_warnings(predictions)]
    compared = any(prediction.distance is not None for prediction in predictions)
    reading = how_to_read(outcome, threshold, names, compared)
    return [reading, *warnings_of_many(predictions), *tested]


def how_to_read(outcome: Outcome, threshold: float | None, names: ClassNames = UNNAMED, compared: bool = True) -> str:
    """Explain a row of the table in one sentence.

    Args:
        outcome: What the model predicts.
        threshold: Of two classes, the threshold; None if there is none.
        names: The names of two classes.
        compared: Whether scans are compared with the training scans.
    """
    if isinstance(outcome, NumberOutcome):
        text = f"the predicted {outcome.column}"
    elif not outcome.is_binary:
        text = "the class with the highest probability and the probability of each class"
    elif threshold is None:
        text = f"the probability of {names.positive}, without a class, as the run has no threshold"
    else:
        text = (
            f"the probability of {names.positive} and the class that follows from it: {names.positive} at "
            f"{threshold_text(threshold)} or above, else {names.negative}"
        )
    if compared:
        text += ", and then the distance from the training scans of the nearest site, as a multiple of its limit"
    return f"Each row gives {text}."


def warnings_of_many(predictions: Sequence[AnyPrediction]) -> list[str]:
    """Warn of scans out of distribution, by name and distance, of uncertain classes, and of scans of the run."""
    warnings = []
    if unlike := [
        f"{prediction.name} ({distance_text(prediction.distance)} × the limit of {prediction.nearest_site})"
        for prediction in predictions
        if prediction.distance is not None and prediction.out_of_distribution
    ]:
        warnings.append(
            f"Warning: do not use the prediction of {plural(len(unlike), 'scan')} unlike the training scans of every "
            f"site: {', '.join(unlike)}"
        )
    classes = [prediction for prediction in predictions if isinstance(prediction, ClassPrediction)]
    if near := [prediction.name for prediction in classes if _is_near(prediction)]:
        warnings.append(
            f"Warning: the class of {plural(len(near), 'scan')} is uncertain, as the probabilities of two classes "
            f"differ by less than {NEAR:g}: {', '.join(near)}"
        )
    sets = [prediction.known.split for prediction in predictions if prediction.known]
    if counted := [f"{sets.count(split)} {words}" for split, words in SETS.items() if split in sets]:
        warnings.append(
            f"Warning: this run used {len(sets)} of these {len(predictions)} scans ({', '.join(counted)}; see the last "
            "column of the table); their predictions say nothing about new scans."
        )
    return warnings


def _is_near(prediction: ClassPrediction) -> bool:
    """True if the two likeliest classes are near each other."""
    first, second = (prediction.probabilities[name] for name in prediction.likeliest)
    return first - second < NEAR


def scan_sentences(
    predictions: Sequence[AnyPrediction], outcome: Outcome, threshold: float | None, names: ClassNames = UNNAMED
) -> list[str]:
    """Say of each scan what the model says and why; of one out of distribution first, not to use the prediction.

    The numbers have as many digits as in the table, so that they agree with the class.

    Args:
        predictions: The predictions.
        outcome: What the model predicts.
        threshold: Of two classes, the threshold; None if there is none.
        names: The names of two classes.
    """
    digits = shown_digits(threshold, [part.probability for part in predictions if isinstance(part, Prediction)])
    sentences = []
    for prediction in predictions:
        if isinstance(prediction, Prediction):
            text = _of_two(prediction, threshold, digits, names)
        else:
            text = _of_classes(prediction) if isinstance(prediction, ClassPrediction) else _number(prediction, outcome)
        warning = _unusable(prediction)
        sentences.append(f"{prediction.name}: {f'{warning} {sentence_case(text)}' if warning else text}")
    return sentences


def _unusable(prediction: AnyPrediction) -> str:
    """Say that the prediction of a scan out of distribution is not to be used; empty for other scans."""
    if prediction.distance is None or not prediction.out_of_distribution:
        return ""
    return (
        "do not use this prediction, as the scan is unlike the training scans of every site "
        f"({distance_text(prediction.distance)} × the limit of {prediction.nearest_site}, the nearest)."
    )


def _of_two(prediction: Prediction, threshold: float | None, digits: int, names: ClassNames) -> str:
    text = f"the probability of {names.positive} is {probability_text(prediction.probability, digits)}"
    if threshold is None or prediction.positive is None:
        return f"{text}; the run has no threshold, so there is no class."
    side = "at or above" if prediction.positive else "below"
    called = names.positive if prediction.positive else names.negative
    return f"{text}, {side} the threshold of {threshold:.{digits}f}, so the model says {called}."


def _of_classes(prediction: ClassPrediction) -> str:
    highest, second = prediction.likeliest
    first_probability, next_probability = (prediction.probabilities[name] for name in (highest, second))
    text = f"{class_title(highest)} has the highest probability, {probability_text(first_probability)}"
    if _is_near(prediction):
        text += f", but {class_title(second)} is near, {probability_text(next_probability)}: the class is uncertain"
    return f"{text}."


def _number(prediction: NumberPrediction, outcome: Outcome) -> str:
    assert isinstance(outcome, NumberOutcome)
    return f"the model predicts {outcome.column} {outcome.shown(prediction.number)}."


def at_test(metrics: RunMetrics, names: ClassNames = UNNAMED) -> list[str]:
    """Say how the model did on its test scans: `mean test AUC over 2 sites 0.81 (95% CI 0.70–0.90)`.

    Of two classes also sensitivity, specificity and calibration over all sites, as on the first screen of the report.
    """
    two = metrics.of_two_classes
    tested = f"On the test scans of its run: {headline(metrics).sentence}."
    return [tested, *(_of_all_sites(two, names) if two else [])]


def _of_all_sites(two: MethodMetrics, names: ClassNames) -> Iterator[str]:
    if (pooled := two.pooled) is None:
        return
    if found := rates(pooled, names):
        yield f"At the threshold of {threshold_text(pooled.threshold)}, all sites: {found}."
    yield f"Calibration, all sites: {calibration_words(pooled.calibration, names)}."
    if (recalibrated := two.recalibrated.get("Pooled")) is not None and recalibrated.scaling.keeps_order:
        yield f"Calibration after recalibration: {calibration_words(recalibrated.calibration, names)}."


def known_warnings(predictions: Sequence[AnyPrediction]) -> list[str]:
    """Warn of scans that were part of the run, one line per set."""
    warnings = []
    for split, words in SETS.items():
        known = [(scan.name, scan.known.site) for scan in predictions if scan.known and scan.known.split == split]
        if len(known) == 1:
            ((name, site),) = known
            warnings.append(
                f"Warning: {name} is a {words} scan of {site} in this run; this prediction says nothing about new "
                "scans."
            )
        elif known:
            names = ", ".join(name for name, _ in known)
            warnings.append(
                f"Warning: {len(known)} scans are {words} scans in this run; their predictions say nothing about new "
                f"scans: {names}"
            )
    return warnings
