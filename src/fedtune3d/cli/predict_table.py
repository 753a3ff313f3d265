"""The terminal tables of `predict`."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.config.class_names import UNNAMED, ClassNames, class_title, class_titles, of_class
from fedtune3d.evaluation.outcome import ClassOutcome, NumberOutcome
from fedtune3d.evaluation.recalibration import PlattScaling
from fedtune3d.report.number_formatting import FEWEST_DIGITS, MOST_DIGITS, probability_text, verdict_digits
from fedtune3d.workflows.predict import Predictor
from fedtune3d.workflows.scan_predictions import AnyPrediction, ClassPrediction, NumberPrediction, Prediction

MOST_SENTENCES = 3
"""With more scans than this, `predict` has no sentence for each of them: their rows say all."""
SETS = {"train": "training", "validation": "validation", "test": "test"}
"""Split → its name in tables and sentences."""


def predicted_table(predictions: Sequence[AnyPrediction], predictor: Predictor) -> Table:
    """Tabulate predictions by what the model predicts."""
    outcome, why_unknown = predictor.outcome, predictor.why_unlike_unknown
    if isinstance(outcome, NumberOutcome):
        return number_table([part for part in predictions if isinstance(part, NumberPrediction)], outcome, why_unknown)
    if not outcome.is_binary:
        return class_table([part for part in predictions if isinstance(part, ClassPrediction)], outcome, why_unknown)
    of_two = [part for part in predictions if isinstance(part, Prediction)]
    return prediction_table(of_two, predictor.threshold, predictor.scaling, predictor.names, why_unknown)


def prediction_table(
    predictions: Sequence[Prediction],
    threshold: float | None,
    scaling: PlattScaling | None = None,
    names: ClassNames = UNNAMED,
    why_unknown: str = "",
) -> Table:
    """One row per scan: probability, predicted class, and whether it is out of distribution.

    Probabilities and threshold are shown with as many digits as it takes for them to agree with the class, and so are
    recalibrated probabilities and the recalibrated threshold.

    Args:
        predictions: The predictions.
        threshold: The threshold behind the predicted classes; None if there is none.
        scaling: The run's recalibration; None without `evaluation.recalibration`.
        names: The names of the classes.
        why_unknown: Why it is not known whether scans are out of distribution; empty if it is.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("Scan", overflow="fold")
    table.add_column(f"Probability of {names.positive}" if names != UNNAMED else "Probability", justify="right")
    recalibrated = [prediction.recalibrated for prediction in predictions if prediction.recalibrated is not None]
    if recalibrated:
        table.add_column("Recalibrated", justify="right")
    table.add_column("Predicted class")
    _add_last_columns(table, predictions)
    digits = shown_digits(threshold, [prediction.probability for prediction in predictions])
    cut = None if threshold is None or scaling is None else scaling.probability(threshold)
    more_digits = shown_digits(cut, recalibrated)
    for prediction in predictions:
        cells = [prediction.name, probability_text(prediction.probability, digits)]
        if recalibrated:
            cells.append(
                "–" if prediction.recalibrated is None else probability_text(prediction.recalibrated, more_digits)
            )
        cells.append(_predicted_class(prediction, threshold, digits, names))
        table.add_row(*map(Text, [*cells, *_last_cells(prediction, predictions)]))
    notes = []
    if threshold is not None:
        at = f" (recalibrated: {cut:.{more_digits}f} or above)" if recalibrated else ""
        notes.append(f"{names.positive} at {threshold:.{digits}f} or above{at}; threshold chosen on validation scans")
    _add_notes(table, [*notes, *_unlike_notes(why_unknown), *_recalibration_notes(scaling, names)])
    return table


def class_table(predictions: Sequence[ClassPrediction], outcome: ClassOutcome, why_unknown: str = "") -> Table:
    """One row per scan: predicted class, probability of each class, and whether it is out of distribution.

    Arguments as those of `prediction_table`.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("Scan", overflow="fold")
    table.add_column("Predicted class")
    for name in class_titles(outcome.names):
        table.add_column(Text(name), justify="right")
    _add_last_columns(table, predictions)
    for prediction in predictions:
        shown = [probability_text(probability) for probability in prediction.probabilities.values()]
        last = _last_cells(prediction, predictions)
        table.add_row(*map(Text, [prediction.name, class_title(prediction.predicted), *shown, *last]))
    _add_notes(table, _unlike_notes(why_unknown))
    return table


def number_table(predictions: Sequence[NumberPrediction], outcome: NumberOutcome, why_unknown: str = "") -> Table:
    """One row per scan: the predicted number, and whether it is out of distribution.

    Arguments as those of `prediction_table`.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("Scan", overflow="fold")
    table.add_column(Text(f"Predicted {outcome.column}"), justify="right")
    _add_last_columns(table, predictions)
    for prediction in predictions:
        last = _last_cells(prediction, predictions)
        table.add_row(*map(Text, [prediction.name, outcome.shown(prediction.number), *last]))
    outside = [name.name for name in predictions if not outcome.minimum <= name.number <= outcome.maximum]
    limits = f"{outcome.minimum:g} to {outcome.maximum:g}"
    notes = [f"outside the range of the target ({limits}): {', '.join(outside)}"] if outside else []
    _add_notes(table, [*notes, *_unlike_notes(why_unknown)])
    return table


def _with_sets(predictions: Sequence[AnyPrediction]) -> bool:
    """True if rows say in which set of the run a scan was: among many scans, where a sentence does not."""
    return len(predictions) > MOST_SENTENCES and any(prediction.known for prediction in predictions)


def _add_last_columns(table: Table, predictions: Sequence[AnyPrediction]) -> None:
    table.add_column("Out of distribution?")
    if _with_sets(predictions):
        table.add_column("Set in run", no_wrap=True)


def _last_cells(prediction: AnyPrediction, predictions: Sequence[AnyPrediction]) -> list[str]:
    cells = [_out_of_distribution(prediction)]
    if _with_sets(predictions):
        cells.append(SETS[prediction.known.split] if prediction.known else "–")
    return cells


def _unlike_notes(why_unknown: str) -> list[str]:
    return [f"out of distribution is not known: {why_unknown}"] if why_unknown else []


def _add_notes(table: Table, notes: Sequence[str]) -> None:
    """Write notes below a table, one per line."""
    table.caption, table.caption_justify = Text("\n".join(notes)) if notes else None, "left"


def distance_text(distance: float) -> str:
    """Format a distance in multiples of the limit, with as many digits as show on which side of 1 it lies."""
    digits = next((count for count in range(1, MOST_DIGITS) if (round(distance, count) > 1) == (distance > 1)), 1)
    return f"{distance:.{digits}f}"


def shown_digits(cut: float | None, probabilities: Sequence[float]) -> int:
    """Return the digits with which a threshold, if there is one, and probabilities are shown."""
    return FEWEST_DIGITS if cut is None else verdict_digits(cut, probabilities)


def _recalibration_notes(scaling: PlattScaling | None, names: ClassNames) -> list[str]:
    if scaling is None:
        return []
    negatives, positives = scaling.scans
    by_class = f"{of_class(positives, names.positive)}, {of_class(negatives, names.negative)}"
    fitted = f"Platt scaling, fitted on validation scans ({by_class})"
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


def _out_of_distribution(prediction: AnyPrediction) -> str:
    if prediction.distance is None:
        return "not known"
    ratio = f"{distance_text(prediction.distance)} × the limit of {prediction.nearest_site}"
    return f"OUT OF DISTRIBUTION: {ratio}" if prediction.out_of_distribution else f"no: {ratio}"
