"""A site's tables of people and sessions: participants.tsv, and the sessions.tsv files next to it."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.foreign_text import table_cell
from fedtune3d.cohorts.label_expressions import as_number
from fedtune3d.cohorts.tables import Row, Table, read_table
from fedtune3d.cohorts.warnings import ReadingWarning, UnreadableValues

_MAX_AGE = 120
ACCEPTED = {"age": f"years (0 to {_MAX_AGE})", "acq_time": "a time such as 2020-12-31T23:59:59"}
_AGE = re.compile(r"(?:>=?\s*)?(?P<number>\d+(?:[.,]\d+)?)\s*(?P<unit>[YyMmWwDd]?)\+?")
_PER_YEAR = {"": 1.0, "Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}
_IDENTIFIER = re.compile(r"[\w.+-]{1,100}")


@dataclass(frozen=True)
class People:
    """The rows of a site's tables.

    Attributes:
        path: The table to name in messages.
        columns: The columns of all tables.
        by_participant: Participant → row.
        by_session: Participant → session → row.
        warnings: Values that could not be read and were ignored, by table and column.
    """

    path: Path
    columns: tuple[str, ...]
    by_participant: dict[str, Row]
    by_session: dict[str, dict[str, Row]]
    warnings: tuple[ReadingWarning, ...] = ()

    def row(self, participant: str, session: str) -> Row | None:
        """Return the values for a person's session, which override those for the person; None if no table has any.

        A scan without a session (such as fMRIPrep's average over sessions) has the values shared by all sessions.
        """
        sessions, general = self.by_session.get(participant, {}), self.by_participant.get(participant)
        has_session = session or "" in sessions
        specific = sessions.get(session) if has_session else _shared_values(list(sessions.values()))
        if specific is None or general is None:
            return specific or general
        return general | {column: value for column, value in specific.items() if value is not None}

    def rows(self) -> Iterator[Row]:
        """Yield the rows of all participants; see `rows_of`."""
        for participant in self.ids:
            yield from self.rows_of(participant)

    def rows_of(self, participant: str) -> Iterator[Row]:
        """Yield the values for each session of a person in the tables; those for the person if there are none."""
        for session in self.by_session.get(participant, {"": {}}):
            yield self.row(participant, session) or {}

    @property
    def ids(self) -> list[str]:
        """All participants in the tables, once each."""
        return list(self.by_participant | self.by_session)

    def group(self, participant: str) -> str | None:
        """Return the group that the tables declare for a person, if any.

        Raises:
            InputError: If sessions of one person are in different groups, which would split the person; or if a
                spreadsheet that opens the table of splits would evaluate the name.
        """
        rows = [self.by_participant.get(participant, {}), *self.by_session.get(participant, {}).values()]
        declared = sorted({group for row in rows if (group := row.get("group_id")) is not None})
        if len(declared) > 1:
            raise InputError(
                f"{self.path}: expected one group_id for {participant}, found {' and '.join(declared)}; "
                "a person must not be split"
            )
        if declared and table_cell(declared[0]) != declared[0]:
            raise InputError(
                f"{self.path}: expected a group_id for {participant} on one line that is no spreadsheet formula, got "
                f"{declared[0]!r}; rename it"
            )
        return declared[0] if declared else None

    def acquired(self, participant: str, session: str) -> datetime | None:
        """Return the acquisition time of a session from ``acq_time``, if given; UTC unless it has a time zone."""
        text = self.by_session.get(participant, {}).get(session, {}).get("acq_time")
        if text is None:
            return None
        time = datetime.fromisoformat(text)
        return time if time.tzinfo else time.replace(tzinfo=UTC)


def read_people(table: Path, participants: Iterable[str]) -> People:
    """Read participants.tsv, and ``sub-*/sub-*_sessions.tsv`` next to it for the given participants.

    A participants.tsv with a column ``session_id`` has one row per session, as ClinicaDL writes it.

    Raises:
        InputError: If a table is malformed (see `read_table`), or a participant or session is repeated (``01`` and
            ``sub-01`` are the same).
    """
    participants_table = read_table(table, ("participant_id",), "a table of participants")
    tables = [participants_table]
    unreadable = UnreadableValues(ACCEPTED)
    by_participant: dict[str, Row] = {}
    by_session: dict[str, dict[str, Row]] = {}
    if "session_id" in participants_table.columns:
        for (participant, session), row in keyed_rows(participants_table, unreadable).items():
            by_session.setdefault(participant, {})[session] = row
    else:
        rows = keyed_rows(participants_table, unreadable)
        by_participant = {participant: row for (participant, _), row in rows.items()}
    for participant in participants:
        path = table.parent / participant / f"{participant}_sessions.tsv"
        if path.exists() or path.is_symlink():
            tables.append(read_table(path, ("session_id",), "a table of sessions"))
            rows = keyed_rows(tables[-1], unreadable, participant)
            by_session[participant] = by_session.get(participant, {}) | {
                session: row for (_, session), row in rows.items()
            }
    columns = tuple(dict.fromkeys(column for part in tables for column in part.columns))
    return People(table, columns, by_participant, by_session, warnings_of(tables, unreadable))


def warnings_of(tables: Iterable[Table], unreadable: UnreadableValues) -> tuple[ReadingWarning, ...]:
    """Return one for an encoding other than UTF-8, and one per column with unreadable values."""
    latin1 = [table.path.name for table in tables if table.is_latin1]
    if not latin1:
        return unreadable.warnings
    more = f", and {len(latin1) - 1} more" if latin1[1:] else ""
    line = f"{latin1[0]}: not UTF-8, read as Latin-1{more}"
    return (ReadingWarning("tables not in UTF-8, read as Latin-1", len(latin1), line), *unreadable.warnings)


def keyed_rows(
    table: Table, unreadable: UnreadableValues, participant: str | None = None
) -> dict[tuple[str, str], Row]:
    """Return the rows by (participant, session); see `identified_rows`. Raises `InputError` for repeated keys."""
    rows: dict[tuple[str, str], Row] = {}
    lines: dict[tuple[str, str], int] = {}
    for line, key, row in identified_rows(table, unreadable, participant):
        if key in rows:
            raise InputError(
                f"{table.path}: expected one row per {'session' if key[1] else 'participant'}, but "
                f"{' '.join(filter(None, key))} is in lines {lines[key]} and {line}; keep one"
            )
        rows[key], lines[key] = row, line
    return rows


def identified_rows(
    table: Table, unreadable: UnreadableValues, participant: str | None = None
) -> list[tuple[int, tuple[str, str], Row]]:
    """Return each row's line number, (participant, session), and values, with ages as plain numbers.

    Args:
        table: The table.
        unreadable: Collects ages and times that cannot be read, which count as missing.
        participant: The table's participant, if it has no column ``participant_id``.

    Raises:
        InputError: If an identifier is missing, or cannot be part of a file name.
    """
    rows = []
    for line, row in table.rows:
        where = f"{table.path}: line {line}"
        person = participant or _identifier(where, "sub-", "participant_id", row["participant_id"])
        if person is None:
            raise InputError(f"{where}: expected a participant_id, got none")
        session = _identifier(where, "ses-", "session_id", row.get("session_id"))
        for column, read in _OPTIONAL.items():
            text = row.get(column)
            if text is not None and (value := read(text)) != text:
                row = row | {column: value}
                if value is None:
                    unreadable.add(table.path, f"line {line}", column, text)
        rows.append((line, (person, session or ""), row))
    return rows


def prefixed(prefix: str, name: str) -> str:
    """Return a name with its BIDS prefix, ``sub-`` or ``ses-``."""
    return name if name.startswith(prefix) else prefix + name


def natural(name: str) -> list[tuple[int, str]]:
    """Return a natural sort key, in which digits count as numbers: ses-M6 comes before ses-M12."""
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _identifier(where: str, prefix: str, column: str, name: str | None) -> str | None:
    if name is not None and not _IDENTIFIER.fullmatch(name):
        raise InputError(f"{where}: expected a {column} of letters, digits and . + - _, got {name!r}; rename it")
    return None if name is None else prefixed(prefix, name)


def _shared_values(rows: list[Row]) -> Row | None:
    if not rows:
        return None
    return {
        column: value if all(row.get(column) == value for row in rows) else None for column, value in rows[0].items()
    }


def _age(text: str) -> str | None:
    """Convert an age to years; ``89+`` and ``>89``, as in de-identified tables, count as 89.

    DICOM's ``090Y`` and ``006M`` are supported. None for anything else, such as ``60-65``.
    """
    match = _AGE.fullmatch(text)
    years = as_number(match["number"]) if match else None
    if match is None or years is None:
        return None
    years /= _PER_YEAR[match["unit"].upper()]
    return f"{years:g}" if 0 <= years <= _MAX_AGE else None


def _time(text: str) -> str | None:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return None
    return text


_OPTIONAL: dict[str, Callable[[str], str | None]] = {"age": _age, "acq_time": _time}
