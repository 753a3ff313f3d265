"""`predictions.tsv`, which stays at the site: one row per scan."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import SiteFolder
from fedtune3d._utils.sealed import recorded_path, require_recorded
from fedtune3d.cohorts.splits import COLUMNS as SPLIT_COLUMNS
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.outcome import BINARY, ClassOutcome, NumberOutcome, Outcome
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions

_SCAN = ("participant", "session", "split")
COLUMNS = (*_SCAN, "label", "probability")
"""The columns for two classes."""
Cell = str | int | float


def columns_of(outcome: Outcome) -> tuple[str, ...]:
    """Return the columns: the scan, what is true of it, and what was predicted."""
    if isinstance(outcome, NumberOutcome):
        return (*_SCAN, "truth", "predicted")
    if outcome.is_binary:
        return COLUMNS
    return (*_SCAN, "class", *(f"probability_{name}" for name in outcome.names))


def scan_name(participant: str, session: str) -> str:
    """Return a scan's name, unique within its group even if several people have sessions of the same name."""
    return f"{participant}_{session}" if session else participant


def write_predictions(path: Path, rows: Iterable[Sequence[Cell]], outcome: Outcome = BINARY) -> None:
    """Write rows in the order of `columns_of`, atomically and with numbers that read back to the same bits."""
    with recorded_path(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(columns_of(outcome))
        writer.writerows([repr(cell) if isinstance(cell, float) else cell for cell in row] for row in rows)


def read_predictions(site_folder: Path, method: str = "federated", split: str = "test") -> Predictions:
    """Read a method's predictions for the scans of a split, with their groups from the split table.

    Args:
        site_folder: ``sites/<name>/`` of a run folder, at the site.
        method: For example ``federated``, ``local`` or ``centralized``.
        split: ``train``, ``validation`` or ``test``.

    Raises:
        InputError: If a table is missing or malformed, with the file's name.
    """
    table = _Table.of(site_folder, method, split, BINARY)
    with table.faults_named():
        return Predictions(
            *table.scans(),
            [int(row["label"]) for row in table.rows],  # type: ignore[arg-type]
            [float(row["probability"]) for row in table.rows],  # type: ignore[arg-type]
        )


def read_class_predictions(
    site_folder: Path, outcome: ClassOutcome, method: str = "federated", split: str = "test"
) -> ClassPredictions:
    """Read the probabilities of three or more classes; arguments and errors as `read_predictions`."""
    table = _Table.of(site_folder, method, split, outcome)
    columns = columns_of(outcome)[-outcome.width :]
    with table.faults_named():
        probabilities = [[float(row[column]) for column in columns] for row in table.rows]
        return ClassPredictions(
            *table.scans(),
            np.array([outcome.names.index(row["class"]) for row in table.rows], dtype=np.int64),
            np.array(probabilities, dtype=np.float64).reshape(-1, outcome.width),
        )


def read_number_predictions(
    site_folder: Path, outcome: NumberOutcome, method: str = "federated", split: str = "test"
) -> NumberPredictions:
    """Read predicted numbers; arguments and errors as `read_predictions`."""
    table = _Table.of(site_folder, method, split, outcome)
    with table.faults_named():
        truth, predicted = ([float(row[column]) for row in table.rows] for column in ("truth", "predicted"))
        return NumberPredictions(*table.scans(), np.array(truth), np.array(predicted))


@dataclass(frozen=True)
class _Table:
    """The rows of a split of a table of predictions, with the group of each scan."""

    path: Path
    rows: list[dict[str, str]]
    groups: dict[tuple[str, str], str]

    @classmethod
    def of(cls, site_folder: Path, method: str, split: str, outcome: Outcome) -> "_Table":
        groups = {
            (row["participant_id"], row["session_id"].replace("n/a", "")): row["group_id"]
            for row in _read(SiteFolder(site_folder).splits, SPLIT_COLUMNS)
        }
        path = SiteFolder(site_folder).predictions(method)
        return cls(path, [row for row in _read(path, columns_of(outcome)) if row["split"] == split], groups)

    def scans(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the group and the name of each scan."""
        return (
            tuple(self.groups[row["participant"], row["session"]] for row in self.rows),
            tuple(scan_name(row["participant"], row["session"]) for row in self.rows),
        )

    @contextmanager
    def faults_named(self) -> Iterator[None]:
        """Name the table where a row is not as it should be."""
        try:
            yield
        except (KeyError, ValueError) as error:
            raise InputError(
                f"{self.path}: expected a row per scan of splits.tsv; {error}; run again with --resume"
            ) from error


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
