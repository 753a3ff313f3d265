"""`predictions.tsv`, which stays at the site: one row per scan."""

import csv
from collections.abc import Iterable
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import SiteFolder
from fedtune3d._utils.sealed import recorded_path, require_recorded
from fedtune3d.cohorts.splits import COLUMNS as SPLIT_COLUMNS
from fedtune3d.evaluation.predictions import Predictions

COLUMNS = ("participant", "session", "split", "label", "probability")


def scan_name(participant: str, session: str) -> str:
    """Return a scan's name, unique within its group even if several people have sessions of the same name."""
    return f"{participant}_{session}" if session else participant


def write_predictions(path: Path, rows: Iterable[tuple[str, str, str, int, float]]) -> None:
    """Write rows in the order of `COLUMNS`, atomically and with probabilities that read back to the same bits."""
    with recorded_path(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((*row[:-1], repr(row[-1])) for row in rows)


def read_predictions(site_folder: Path, method: str = "federated", split: str = "test") -> Predictions:
    """Read a method's predictions for the scans of a split, with their groups from the split table.

    Args:
        site_folder: ``sites/<name>/`` of a run folder, at the site.
        method: For example ``federated``, ``local`` or ``centralized``.
        split: ``train``, ``validation`` or ``test``.

    Raises:
        InputError: If a table is missing or malformed, with the file's name.
    """
    groups = {
        (row["participant_id"], row["session_id"].replace("n/a", "")): row["group_id"]
        for row in _read(SiteFolder(site_folder).splits, SPLIT_COLUMNS)
    }
    path = SiteFolder(site_folder).predictions(method)
    rows = [row for row in _read(path, COLUMNS) if row["split"] == split]
    try:
        return Predictions(
            tuple(groups[row["participant"], row["session"]] for row in rows),
            tuple(scan_name(row["participant"], row["session"]) for row in rows),
            [int(row["label"]) for row in rows],  # type: ignore[arg-type]
            [float(row["probability"]) for row in rows],  # type: ignore[arg-type]
        )
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: expected a row per scan of splits.tsv; {error}; run again with --resume") from error


def _read(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        require_recorded(path)
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t")
            if tuple(reader.fieldnames or ()) != columns:
                raise InputError(f"{path}: expected the columns {', '.join(columns)}, got {reader.fieldnames}")
            return list(reader)
    except OSError as error:
        raise InputError(f"{path}: expected the table of a completed run; {error.strerror}") from error
