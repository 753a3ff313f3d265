"""`predictions.tsv`, which stays at the site: one row a scan."""

import csv
from collections.abc import Iterable
from pathlib import Path

from fedtune3d.files import atomic_path

COLUMNS = ("participant", "session", "split", "label", "probability")


def write_predictions(path: Path, rows: Iterable[tuple[str, str, str, int, float]]) -> None:
    """Write rows in the order of `COLUMNS`, whole or not at all; reading a probability gives the same bits."""
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((*row[:-1], repr(row[-1])) for row in rows)
