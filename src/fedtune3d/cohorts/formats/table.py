"""A plain table of scans: a TSV with ``path``, ``participant_id``, ``session_id``, the label and covariates."""

import os
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.folders import Scans
from fedtune3d.cohorts.people import ACCEPTED, People, identified_rows, warnings_of
from fedtune3d.cohorts.tables import Row, read_table
from fedtune3d.cohorts.warnings import UnreadableValues

PATTERN = "a path"


def recognises(root: Path) -> bool:
    """Return whether it is a .tsv file."""
    return root.is_file() and root.suffix.lower() == ".tsv"


def read(root: Path, participants: Path | None) -> tuple[Scans, People]:
    """Read a table of scans, one row per scan; paths are relative to the table's own folder.

    All scans must be below that folder, so that a run reads nothing outside it; symbolic links may lead elsewhere. The
    table itself describes the participants, so `participants` is not used.

    Raises:
        InputError: As `read_people`, or if a path is missing, outside the folder or repeated, or rows of the same
            session differ in more than the path.
    """
    table = read_table(root, ("path", "participant_id"), "a table of scans")
    scans: Scans = {}
    sessions: dict[str, dict[str, Row]] = {}
    lines: dict[Path, int] = {}
    unreadable = UnreadableValues(ACCEPTED)
    for line, (participant, session), row in identified_rows(table, unreadable):
        path = _inside(root, line, row["path"])
        if path in lines:
            raise InputError(
                f"{root}: expected each scan once, but {row['path']} is in lines {lines[path]} and {line}; keep one"
            )
        lines[path] = line
        scans.setdefault(participant, {}).setdefault(session, []).append(path)
        rest = {column: value for column, value in row.items() if column != "path"}
        if sessions.setdefault(participant, {}).setdefault(session, rest) != rest:
            raise InputError(
                f"{root}: line {line}: expected the same values as an earlier row of {participant} {session}".rstrip()
                + ", found others; correct one, or give them different session_ids"
            )
    return scans, People(root, table.columns, {}, sessions, warnings_of([table], unreadable))


def _inside(table: Path, line: int, text: str | None) -> Path:
    if text is None:
        raise InputError(f"{table}: line {line}: expected a path, got none")
    folder = Path(os.path.normpath(table.parent.absolute()))
    path = Path(os.path.normpath(folder / text))
    if not path.is_relative_to(folder):
        raise InputError(
            f"{table}: line {line}: expected a path below the table's folder, got {text}; "
            "move the table to a folder above all scans"
        )
    return path
