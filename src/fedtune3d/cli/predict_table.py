"""The terminal table of `predict`."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.report.number_formatting import FEWEST_DIGITS, verdict_digits
from fedtune3d.workflows.predict import Prediction


def prediction_table(predictions: Sequence[Prediction], threshold: float | None) -> Table:
    """One row per scan: probability, predicted class, and similarity to the training scans.

    Probabilities and threshold are shown with as many digits as it takes for them to agree with the class.
    """
    digits = FEWEST_DIGITS
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    if threshold is not None:
        digits = verdict_digits(threshold, [prediction.probability for prediction in predictions])
        table.caption, table.caption_justify = (
            f"positive at {threshold:.{digits}f} or above; threshold chosen on validation scans",
            "left",
        )
    table.add_column("Scan", overflow="fold")
    table.add_column("Probability", justify="right")
    table.add_column("Predicted class")
    table.add_column("Similar to training scans?")
    for prediction in predictions:
        probability, verdict = f"{prediction.probability:.{digits}f}", _predicted_class(prediction, threshold, digits)
        table.add_row(*map(Text, (prediction.name, probability, verdict, _similarity(prediction))))
    return table


def _predicted_class(prediction: Prediction, threshold: float | None, digits: int) -> str:
    if prediction.positive is None or threshold is None:
        return "no threshold"
    return f"positive (≥ {threshold:.{digits}f})" if prediction.positive else f"negative (< {threshold:.{digits}f})"


def _similarity(prediction: Prediction) -> str:
    if prediction.distance is None:
        return "unknown"
    ratio = f"{prediction.distance:.1f} × the typical distance from {prediction.nearest_site}"
    return f"OUT OF DISTRIBUTION: {ratio}" if prediction.out_of_distribution else f"yes: {ratio}"
