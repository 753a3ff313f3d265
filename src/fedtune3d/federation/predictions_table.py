"""`predictions.tsv`, which stays at the site: one row a scan."""

import csv
from collections.abc import Mapping
from pathlib import Path

from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.files import atomic_path

COLUMNS = ("participant", "session", "split", "label", "probability")


def write_predictions(path: Path, by_split: Mapping[str, Predictions]) -> None:
    """Write all splits' predictions, whole or not at all; probabilities so that reading gives the same bits."""
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        for split, predictions in by_split.items():
            rows = zip(
                predictions.participants,
                predictions.sessions,
                predictions.labels.tolist(),
                predictions.probabilities.tolist(),
                strict=True,
            )
            writer.writerows((participant, session, split, label, repr(p)) for participant, session, label, p in rows)
