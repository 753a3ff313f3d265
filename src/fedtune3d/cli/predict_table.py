"""The terminal table of `predict`."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.workflows.predict import Prediction


def prediction_table(predictions: Sequence[Prediction], threshold: float | None) -> Table:
    """One row per scan: probability, predicted class, and similarity to the training scans."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    if threshold is not None:
        table.caption, table.caption_justify = (
            f"positive at {threshold:.3f} or above; threshold chosen on validation scans",
            "left",
        )
    table.add_column("Scan", overflow="fold")
    table.add_column("Probability", justify="right")
    table.add_column("Predicted class")
    table.add_column("Similar to training scans?")
    for prediction in predictions:
        row = (prediction.name, f"{prediction.probability:.3f}", _predicted_class(prediction), _similarity(prediction))
        table.add_row(*map(Text, row))
    return table


def _predicted_class(prediction: Prediction) -> str:
    if prediction.positive is None:
        return "no threshold"
    return "positive" if prediction.positive else "negative"


def _similarity(prediction: Prediction) -> str:
    if prediction.distance is None:
        return "unknown"
    ratio = f"{prediction.distance:.1f} × the typical distance from {prediction.nearest_site}"
    return f"OUT OF DISTRIBUTION: {ratio}" if prediction.out_of_distribution else f"yes: {ratio}"
