"""The terminal table of `predict`."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

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
    for found in predictions:
        table.add_row(found.name, f"{found.probability:.3f}", _verdict(found), _likeness(found))
    return table


def _verdict(found: Prediction) -> str:
    if found.positive is None:
        return "no threshold"
    return "positive" if found.positive else "negative"


def _likeness(found: Prediction) -> str:
    if found.distance is None:
        return "unknown"
    ratio = f"{found.distance:.1f} × the typical distance from {found.nearest_site}"
    return f"OUT OF DISTRIBUTION: {ratio}" if found.out_of_distribution else f"yes: {ratio}"
