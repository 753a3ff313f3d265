"""The terminal table of `predict`."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.evaluation.recalibration import PlattScaling
from fedtune3d.report.number_formatting import FEWEST_DIGITS, verdict_digits
from fedtune3d.workflows.predict import Prediction


def prediction_table(
    predictions: Sequence[Prediction], threshold: float | None, scaling: PlattScaling | None = None
) -> Table:
    """One row per scan: probability, predicted class, and similarity to the training scans.

    Probabilities and threshold are shown with as many digits as it takes for them to agree with the class, and so are
    recalibrated probabilities and the recalibrated threshold.

    Args:
        predictions: The predictions.
        threshold: The threshold behind the predicted classes; None if there is none.
        scaling: The run's recalibration; None without `evaluation.recalibration`.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("Scan", overflow="fold")
    table.add_column("Probability", justify="right")
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
        cells += [_predicted_class(prediction, threshold, digits), _similarity(prediction)]
        table.add_row(*map(Text, cells))
    notes = []
    if threshold is not None:
        at = f" (recalibrated: {cut:.{more_digits}f} or above)" if recalibrated else ""
        notes.append(f"positive at {threshold:.{digits}f} or above{at}; threshold chosen on validation scans")
    notes += _recalibration_notes(scaling)
    table.caption, table.caption_justify = "\n".join(notes) or None, "left"
    return table


def _digits(cut: float | None, probabilities: Sequence[float]) -> int:
    return FEWEST_DIGITS if cut is None else verdict_digits(cut, probabilities)


def _recalibration_notes(scaling: PlattScaling | None) -> list[str]:
    if scaling is None:
        return []
    negatives, positives = scaling.scans
    fitted = f"Platt scaling, fitted on {positives} positive and {negatives} negative validation scans"
    if scaling.keeps_order:
        return [f"recalibrated by {fitted}"]
    return [
        f"no recalibrated probabilities: {fitted}, has a slope of {scaling.slope:.3g}, which would reverse the classes"
    ]


def _predicted_class(prediction: Prediction, threshold: float | None, digits: int) -> str:
    if prediction.positive is None or threshold is None:
        return "no threshold"
    return f"positive (≥ {threshold:.{digits}f})" if prediction.positive else f"negative (< {threshold:.{digits}f})"


def _similarity(prediction: Prediction) -> str:
    if prediction.distance is None:
        return "unknown"
    ratio = f"{prediction.distance:.1f} × the typical distance from {prediction.nearest_site}"
    return f"OUT OF DISTRIBUTION: {ratio}" if prediction.out_of_distribution else f"yes: {ratio}"
