"""The terminal tables of `predict`."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.config.class_names import UNNAMED, ClassNames
from fedtune3d.evaluation.outcome import ClassOutcome, NumberOutcome, Outcome
from fedtune3d.evaluation.recalibration import PlattScaling
from fedtune3d.report.number_formatting import FEWEST_DIGITS, verdict_digits
from fedtune3d.workflows.predict import Predictor
from fedtune3d.workflows.scan_predictions import AnyPrediction, ClassPrediction, NumberPrediction, Prediction


def predicted_table(predictions: Sequence[AnyPrediction], predictor: Predictor) -> Table:
    """Tabulate predictions by what the model predicts."""
    outcome = predictor.outcome
    if isinstance(outcome, NumberOutcome):
        return number_table([part for part in predictions if isinstance(part, NumberPrediction)], outcome)
    if not outcome.is_binary:
        return class_table([part for part in predictions if isinstance(part, ClassPrediction)], outcome)
    of_two = [part for part in predictions if isinstance(part, Prediction)]
    return prediction_table(
        of_two, predictor.threshold, predictor.scaling, predictor.names, predictor.why_unlike_unknown
    )


SETS = {"train": "training", "validation": "validation", "test": "test"}


def prediction_table(
    predictions: Sequence[Prediction],
    threshold: float | None,
    scaling: PlattScaling | None = None,
    names: ClassNames = UNNAMED,
    why_unknown: str = "",
) -> Table:
    """One row per scan: probability, predicted class, and similarity to the training scans.

    Probabilities and threshold are shown with as many digits as it takes for them to agree with the class, and so are
    recalibrated probabilities and the recalibrated threshold.

    Args:
        predictions: The predictions.
        threshold: The threshold behind the predicted classes; None if there is none.
        scaling: The run's recalibration; None without `evaluation.recalibration`.
        names: The names of the classes.
        why_unknown: Why it is not known whether scans are like the training scans; empty if it is.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("Scan", overflow="fold")
    table.add_column(f"Probability of {names.positive}" if names != UNNAMED else "Probability", justify="right")
    recalibrated = [prediction.recalibrated for prediction in predictions if prediction.recalibrated is not None]
    if recalibrated:
        table.add_column("Recalibrated", justify="right")
    table.add_column("Predicted class")
    table.add_column("Similar to training scans?")
    digits = _digits(threshold, [prediction.probability for prediction in predictions])
    cut = None if threshold is None or scaling is None else scaling.probability(threshold)
    more_digits = _digits(cut, recalibrated)
    for prediction in predictions:
        cells = [prediction.name, f"{prediction.probability:.{digits}f}"]
        if recalibrated:
            cells.append("–" if prediction.recalibrated is None else f"{prediction.recalibrated:.{more_digits}f}")
        cells += [_predicted_class(prediction, threshold, digits, names), _similarity(prediction)]
        table.add_row(*map(Text, cells))
    notes = []
    if threshold is not None:
        at = f" (recalibrated: {cut:.{more_digits}f} or above)" if recalibrated else ""
        notes.append(f"{names.positive} at {threshold:.{digits}f} or above{at}; threshold chosen on validation scans")
    if why_unknown:
        notes.append(f"similarity unknown: {why_unknown}")
    notes += _recalibration_notes(scaling, names)
    table.caption, table.caption_justify = "\n".join(notes) or None, "left"
    return table


def prediction_sentences(
    predictions: Sequence[Prediction], threshold: float | None, names: ClassNames = UNNAMED
) -> list[str]:
    """Say in one sentence per scan what the model says and why, then warn of scans that were part of the run.

    The numbers have as many digits as in the table, so that they agree with the class.
    """
    digits = _digits(threshold, [prediction.probability for prediction in predictions])
    sentences = []
    for prediction in predictions:
        text = f"{prediction.name}: the probability of {names.positive} is {prediction.probability:.{digits}f}"
        if threshold is None or prediction.positive is None:
            sentences.append(f"{text}; the run has no threshold, so there is no class.")
            continue
        side = "at or above" if prediction.positive else "below"
        called = names.positive if prediction.positive else names.negative
        sentences.append(f"{text}, {side} the threshold of {threshold:.{digits}f}, so the model says {called}.")
    return [*sentences, *_known_warnings(predictions)]


def predicted_sentences(predictions: Sequence[AnyPrediction], predictor: Predictor) -> list[str]:
    """Say what the model says of each scan, and warn of scans that were part of the run."""
    outcome = predictor.outcome
    if outcome.is_binary:
        of_two = [part for part in predictions if isinstance(part, Prediction)]
        return prediction_sentences(of_two, predictor.threshold, predictor.names)
    sentences = [_sentence(prediction, outcome) for prediction in predictions]
    return [*sentences, *_known_warnings(predictions)]


def _sentence(prediction: AnyPrediction, outcome: Outcome) -> str:
    if isinstance(prediction, ClassPrediction):
        highest = f"{prediction.probabilities[prediction.predicted]:.{FEWEST_DIGITS}f}"
        return f"{prediction.name}: {prediction.predicted} has the highest probability, {highest}."
    assert isinstance(prediction, NumberPrediction)
    assert isinstance(outcome, NumberOutcome)
    return f"{prediction.name}: the model predicts {outcome.column} {outcome.shown(prediction.number)}."


def _known_warnings(predictions: Sequence[AnyPrediction]) -> list[str]:
    return [
        f"Warning: {prediction.name} is a {SETS[known.split]} scan of {known.site} in this run; this prediction "
        "says nothing about new scans."
        for prediction in predictions
        if (known := prediction.known) is not None
    ]


def class_table(predictions: Sequence[ClassPrediction], outcome: ClassOutcome) -> Table:
    """One row per scan: predicted class, probability of each class, and similarity to the training scans."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("Scan", overflow="fold")
    table.add_column("Predicted class")
    for name in outcome.names:
        table.add_column(Text(name), justify="right")
    table.add_column("Similar to training scans?")
    for prediction in predictions:
        shown = [f"{probability:.{FEWEST_DIGITS}f}" for probability in prediction.probabilities.values()]
        table.add_row(*map(Text, [prediction.name, prediction.predicted, *shown, _similarity(prediction)]))
    return table


def number_table(predictions: Sequence[NumberPrediction], outcome: NumberOutcome) -> Table:
    """One row per scan: the predicted number, and similarity to the training scans."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("Scan", overflow="fold")
    table.add_column(Text(f"Predicted {outcome.column}"), justify="right")
    table.add_column("Similar to training scans?")
    for prediction in predictions:
        table.add_row(*map(Text, [prediction.name, outcome.shown(prediction.number), _similarity(prediction)]))
    outside = [name.name for name in predictions if not outcome.minimum <= name.number <= outcome.maximum]
    if outside:
        limits = f"{outcome.minimum:g} to {outcome.maximum:g}"
        table.caption, table.caption_justify = (
            f"outside the range of the target ({limits}): {', '.join(outside)}",
            "left",
        )
    return table


def _digits(cut: float | None, probabilities: Sequence[float]) -> int:
    return FEWEST_DIGITS if cut is None else verdict_digits(cut, probabilities)


def _recalibration_notes(scaling: PlattScaling | None, names: ClassNames) -> list[str]:
    if scaling is None:
        return []
    negatives, positives = scaling.scans
    fitted = f"Platt scaling, fitted on {positives} {names.positive} and {negatives} {names.negative} validation scans"
    if scaling.keeps_order:
        return [f"recalibrated by {fitted}"]
    return [
        f"no recalibrated probabilities: {fitted}, has a slope of {scaling.slope:.3g}, which would reverse the classes"
    ]


def _predicted_class(prediction: Prediction, threshold: float | None, digits: int, names: ClassNames) -> str:
    if prediction.positive is None or threshold is None:
        return "no threshold"
    if prediction.positive:
        return f"{names.positive} (≥ {threshold:.{digits}f})"
    return f"{names.negative} (< {threshold:.{digits}f})"


def _similarity(prediction: AnyPrediction) -> str:
    if prediction.distance is None:
        return "unknown"
    ratio = f"{prediction.distance:.1f} × the typical distance from {prediction.nearest_site}"
    return f"OUT OF DISTRIBUTION: {ratio}" if prediction.out_of_distribution else f"yes: {ratio}"
