"""What a run's model says of new scans, as a table for the terminal."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from fedtune3d.workflows.predict import Prediction


def prediction_table(predictions: Sequence[Prediction], threshold: float | None) -> Table:
    """One row a scan: probability, verdict, and whether it is like the training scans."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    if threshold is not None:
        table.caption, table.caption_justify = f"positive from {threshold:.3f} up, chosen on validation scans", "left"
    table.add_column("Scan", overflow="fold")
    table.add_column("Probability", justify="right")
    table.add_column("Verdict")
    table.add_column("Like the training scans?")
    for found in predictions:
        table.add_row(found.name, f"{found.probability:.3f}", _verdict(found), _likeness(found))
    return table


def _verdict(found: Prediction) -> str:
    if found.positive is None:
        return "no threshold"
    return "positive" if found.positive else "negative"


def _likeness(found: Prediction) -> str:
    if found.distance is None:
        return "not known"
    ratio = f"{found.distance:.1f} × the usual distance from {found.nearest_site}"
    return f"OUT OF DISTRIBUTION: {ratio}" if found.out_of_distribution else f"yes: {ratio}"
