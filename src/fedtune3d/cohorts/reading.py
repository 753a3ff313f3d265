"""From a site's folder or table to its cohort: the scans in use with their labels, and those left out with reasons.

Each format is one file in `formats`, which finds scans; everything after that is the same for all formats.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.folders import Scans
from fedtune3d.cohorts.forgotten_words import require_no_forgotten_word
from fedtune3d.cohorts.formats import AUTO, load_format, recognise
from fedtune3d.cohorts.inclusion import Wanted
from fedtune3d.cohorts.label_expressions import Row, as_number
from fedtune3d.cohorts.labels import Labels
from fedtune3d.cohorts.nobody_usable import empty_classes, nobody_usable
from fedtune3d.cohorts.people import People, natural
from fedtune3d.cohorts.records import (
    DIAGNOSIS,
    FURTHER_SCAN,
    NO_ROW,
    NO_SCAN,
    NOT_CHOSEN,
    Cohort,
    Exclusion,
    ScanRecord,
    Unlabelled,
    scan_name,
)
from fedtune3d.cohorts.sessions import choose_sessions, order_sessions
from fedtune3d.cohorts.tables import no_column
from fedtune3d.cohorts.warnings import ReadingWarning, UnreadableValues

ONE_OF_THESE = "name one of these in the experiment file"
OTHER_COLUMN = (
    "write the labels as expressions on one of these, such as positive: 'group == AD', under the site's own key labels "
    "if other sites' tables differ; or let `fedtune3d init --diagnosis COLUMN` write them"
)


def read_site(
    root: Path,
    site: str,
    labels: Wanted,
    sessions: str | tuple[str, ...] = "all",
    format: str = AUTO,
    participants: Path | None = None,
    general: Labels | None = None,
    has_own_labels: bool = False,
) -> Cohort:
    """Read the usable T1-weighted scans of a site.

    The following are left out, in this order: people in no table, people without a scan, sessions not chosen, further
    scans of a session (the first by name is used: run-1), scans that do not meet the criterion of inclusion, scans
    without a label. Labels are per session, so a person who converts between two sessions may have scans in both
    classes.

    Args:
        root: A raw BIDS folder, BIDS derivatives, a CAPS folder, or a TSV of paths.
        site: The site's name.
        labels: Definition of the classes, or the column of the number to predict; and which rows are included.
        sessions: ``all``, each person's ``first`` or ``last`` session with a T1w scan, or names of sessions.
        format: The name of a format, or ``auto`` for the one that recognises `root`.
        participants: The participants.tsv, if it is not in `root` (or, for derivatives, in the raw folder above).
        general: The experiment's labels, where `labels` are the site's own.
        has_own_labels: Whether `labels` are the site's own, which messages then name.

    Raises:
        InputError: If the folder or a table is missing or malformed, a number to predict is none or out of range, no
            scan is usable, or the site's own labels exclude a word of its table that `general` includes.
    """
    kind, scans, people = _open(root, format, participants)
    _require_columns(people, labels.columns)
    if general is not None:
        require_no_forgotten_word(people.path, site, list(people.rows()), labels, general)
    of_site = f" of site {site}" if has_own_labels else ""
    _require_usable_label(people, labels, of_site)
    records: list[ScanRecord] = []
    exclusions: list[Exclusion] = []
    of_whom = _Records(site, people)
    for participant in sorted(scans.keys() | set(people.ids), key=natural):
        for session, path in _take_scans(participant, scans.get(participant, {}), sessions, people, exclusions):
            row = people.row(participant, session) or {}
            label = labels.label(row)
            number = labels.number(row, f"{people.path}: the row of {participant} {session}".rstrip())
            if isinstance(label, Unlabelled):
                exclusions.append(Exclusion(participant, label.reason, label.detail, 1))
            else:
                records.append(of_whom.record(participant, session, path, row, label, number))
    if not records:
        raise _no_scan(root, kind, people, exclusions)
    records.sort(key=lambda record: (natural(record.participant_id), natural(record.session_id)))
    return Cohort(
        site,
        tuple(records),
        tuple(exclusions),
        people.warnings + _unreadable_labels(people, labels),
        empty_classes(list(people.rows()), people.by_participant.values(), labels, of_site),
        people.columns,
    )


def _no_scan(root: Path, kind: str, people: People, exclusions: list[Exclusion]) -> InputError:
    return InputError(
        f"{root}: expected at least one usable scan {load_format(kind).PATTERN}, found none ({_listed(exclusions)}); "
        f"check the ids and sessions in {people.path} against the scans"
    )


class _Records:
    """Makes the records of a site's scans, with the groups that its tables declare."""

    def __init__(self, site: str, people: People) -> None:
        self.site, self.people = site, people
        self.declared = {people.group(participant) for participant in people.ids}

    def record(
        self, participant: str, session: str, path: Path, row: Row, label: int, number: float | None
    ) -> ScanRecord:
        """Return the record of a scan, given its row in the tables, its label and its number."""
        group = self.people.group(participant) or (participant if participant in self.declared else None)
        return ScanRecord(
            site=self.site,
            participant_id=participant,
            session_id=session,
            path=path,
            label=label,
            group_id=group or participant,
            group_declared=group is not None,
            age=None if (age := row.get("age")) is None else float(age),
            sex=row.get("sex"),
            diagnosis=row.get(DIAGNOSIS),
            number=number,
        )


def column_values(
    root: Path, columns: Iterable[str], format: str = AUTO, participants: Path | None = None
) -> dict[str, dict[str, set[str]]]:
    """Read columns of a site's tables: column → person → values. Raises `InputError` as `read_site`."""
    _, _, people = _open(root, format, participants)
    return {
        column: {
            person: {value for row in people.rows_of(person) if (value := row.get(column)) is not None}
            for person in people.ids
        }
        for column in columns
    }


def list_diagnoses(
    root: Path, format: str = AUTO, participants: Path | None = None, column: str = DIAGNOSIS
) -> Counter[str]:
    """Count people by diagnosis (``n/a`` if missing); a person with several diagnoses counts once for each.

    Raises `InputError` as `read_site`.
    """
    _, _, people = _open(root, format, participants)
    if column not in people.columns:
        raise no_column(
            people.path,
            column,
            people.columns,
            "name the column of diagnoses with --diagnosis of `fedtune3d init`, once for all sites or once per site",
        )
    counts: Counter[str] = Counter()
    for participant in people.ids:
        counts.update({row.get(column) or "n/a" for row in people.rows_of(participant)})
    return counts


def list_columns(root: Path, format: str = AUTO, participants: Path | None = None) -> list[str]:
    """The columns of a site's tables, by name. Raises `InputError` as `read_site`."""
    _, _, people = _open(root, format, participants)
    return sorted(people.columns)


def list_numbers(root: Path, column: str, format: str = AUTO, participants: Path | None = None) -> list[float | None]:
    """Read a column's number in each row, of a person or a session; None where it is missing.

    Raises `InputError` as `read_site`, and for a value that is no number.
    """
    _, _, people = _open(root, format, participants)
    _require_columns(people, (column,))
    numbers: list[float | None] = []
    for participant in people.ids:
        for row in people.rows_of(participant):
            cell = row.get(column)
            numbers.append(None if cell is None else as_number(cell))
            if cell is not None and numbers[-1] is None:
                raise InputError(
                    f"{people.path}: expected numbers in the column {column}, got {cell!r} for {participant}; correct "
                    "it, write n/a for a missing value, or name another column"
                )
    return numbers


def list_scans(root: Path, format: str = AUTO, participants: Path | None = None) -> dict[str, Path]:
    """Name → file of each scan that `read_site` could take, whatever its label: the first of each session.

    Raises `InputError` as `read_site`.
    """
    _, scans, _ = _open(root, format, participants)
    return {
        scan_name(participant, session): paths[0]
        for participant, by_session in scans.items()
        for session, paths in by_session.items()
    }


def _open(root: Path, format: str, participants: Path | None) -> tuple[str, Scans, People]:
    recognised = recognise(root)
    kind = recognised if format == AUTO else format
    if (kind == "table") != (recognised == "table"):
        raise InputError(f"{root}: expected the format {kind}, found a {'file' if root.is_file() else 'folder'}")
    return (kind, *load_format(kind).read(root, participants))


def _take_scans(
    participant: str,
    by_session: dict[str, list[Path]],
    selection: str | tuple[str, ...],
    people: People,
    exclusions: list[Exclusion],
) -> Iterator[tuple[str, Path]]:
    """Yield one scan per chosen session of a person, adding what is left out to `exclusions`."""

    def leave_out(reason: str, scans: int) -> None:
        exclusions.append(Exclusion(participant, reason, "", scans))

    unknown = [session for session in by_session if people.row(participant, session) is None]
    if unknown:
        leave_out(NO_ROW, sum(len(by_session[session]) for session in unknown))
    if not by_session:
        leave_out(NO_SCAN, 0)
    ordered = order_sessions(participant, by_session.keys() - set(unknown), people)
    chosen = choose_sessions(ordered, selection)
    if not_chosen := sum(len(by_session[session]) for session in ordered if session not in chosen):
        leave_out(NOT_CHOSEN, not_chosen)
    if further := sum(len(by_session[session]) - 1 for session in chosen):
        leave_out(FURTHER_SCAN, further)
    yield from ((session, by_session[session][0]) for session in chosen)


def _require_columns(people: People, columns: Iterable[str]) -> None:
    for column in columns:
        if column not in people.columns:
            raise no_column(people.path, column, people.columns, OTHER_COLUMN if column == DIAGNOSIS else ONE_OF_THESE)


def _require_usable_label(people: People, labels: Wanted, of_site: str) -> None:
    by_session = [labels.label(row) for row in people.rows()]
    by_person = [labels.label(row) for row in people.by_participant.values()]
    if not any(isinstance(label, int) for label in by_session + by_person):
        first = "".join(f"; {warning.line}" for warning in _unreadable_labels(people, labels)[:1])
        raise InputError(f"{people.path}: {nobody_usable(list(people.rows()), labels, of_site)}{first}")


def _unreadable_labels(people: People, labels: Wanted) -> tuple[ReadingWarning, ...]:
    """The values of rows that have no label because a column that it depends on holds no number there."""
    unreadable = UnreadableValues(dict.fromkeys(labels.columns, "a number"), "without a label")
    for participant in people.ids:
        for session in people.by_session.get(participant, {"": {}}):
            for column, text in labels.unreadable(people.row(participant, session) or {}).items():
                unreadable.add(people.path, f"the row of {participant} {session}".rstrip(), column, text)
    return unreadable.warnings


def _listed(exclusions: list[Exclusion]) -> str:
    counts: Counter[str] = Counter()
    for exclusion in exclusions:
        counts[exclusion.reason] += max(1, exclusion.scans)
    return ", ".join(f"{reason}: {count}" for reason, count in counts.items())
