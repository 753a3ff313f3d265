"""Read a site's BIDS folder: participants.tsv and the T1-weighted scans beside it."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedtune3d.cohorts.records import Cohort, LabelMapping, ScanRecord
from fedtune3d.errors import InputError

REQUIRED_COLUMNS = ("participant_id", "diagnosis")
_MISSING = {"", "n/a", "na", "nan"}


@dataclass(frozen=True)
class Participant:
    """A row of participants.tsv; the id starts with ``sub-``, and what the row leaves open is None."""

    participant_id: str
    diagnosis: str | None
    age: float | None
    sex: str | None
    group_id: str | None


def read_bids(root: Path, site: str, labels: LabelMapping, sessions: str | tuple[str, ...] = "all") -> Cohort:
    """Read the usable T1-weighted scans of a BIDS folder: ``sub-*/[ses-*/]anat/*_T1w.nii[.gz]``.

    Participants of other diagnoses or without a scan, scans without a row, scans of sessions not chosen and further T1w
    scans of one session (the first by name is taken: run-1) are left out and counted in `Cohort.excluded`. Names are
    ordered with their numbers as numbers, so that ses-M6 comes before ses-M12.

    Args:
        root: The folder that holds participants.tsv.
        site: The site's name.
        labels: Which diagnoses are positive and which negative.
        sessions: ``all``, each person's ``first`` or ``last`` session with a T1w scan, or names of sessions.

    Raises:
        InputError: If the folder or table is missing or malformed, or nothing usable is left.
    """
    participants = read_participants(root)
    _require_usable_label(root, participants, labels)
    scans = find_scans(root)
    excluded: Counter[str] = Counter()
    for name in scans.keys() - {person.participant_id for person in participants}:
        excluded["scan without a row in participants.tsv"] += sum(map(len, scans[name].values()))
    records: list[ScanRecord] = []
    for person in participants:
        label = labels.label(person.diagnosis) if person.diagnosis else None
        if label is None or person.diagnosis is None:
            excluded[f"diagnosis {person.diagnosis or 'n/a'}"] += 1
            continue
        for session, path in _take_scans(scans.get(person.participant_id, {}), sessions, excluded):
            record = ScanRecord(
                site=site,
                participant_id=person.participant_id,
                session_id=session,
                path=path,
                label=label,
                group_id=person.group_id or person.participant_id,
                group_declared=person.group_id is not None,
                age=person.age,
                sex=person.sex,
                diagnosis=person.diagnosis,
            )
            records.append(record)
    if not records:
        raise InputError(
            f"{root}: expected at least one usable scan sub-*/[ses-*/]anat/*_T1w.nii[.gz], found none "
            f"({_listed(excluded)}); check the ids in participants.tsv against the folders"
        )
    records.sort(key=lambda record: (_natural(record.participant_id), _natural(record.session_id)))
    return Cohort(site=site, records=tuple(records), excluded={name: excluded[name] for name in sorted(+excluded)})


def list_diagnoses(root: Path) -> Counter[str]:
    """Participants by diagnosis, missing ones as ``n/a``. Raises `InputError` as `read_bids` does."""
    return Counter(person.diagnosis or "n/a" for person in read_participants(root))


def read_participants(root: Path) -> list[Participant]:
    """The rows of participants.tsv (UTF-8, with or without BOM, any line ending; ``n/a`` and empty mean missing).

    Raises:
        InputError: If the folder, the file or a required column is missing, a row has another length, an age is no
            number or a participant stands twice (``01`` and ``sub-01`` are one).
    """
    table = root / "participants.tsv"
    lines = _read_lines(root, table)
    if not lines:
        raise InputError(f"{table}: expected a header with {' and '.join(REQUIRED_COLUMNS)}, found an empty file")
    columns = lines[0][1]
    for required in REQUIRED_COLUMNS:
        if columns.count(required) != 1:
            found = "twice" if required in columns else f"the columns {', '.join(columns)}"
            raise InputError(
                f"{table}: expected a column {required}, found {found}; is it tab-separated, with a header?"
            )
    participants: list[Participant] = []
    first_seen: dict[str, int] = {}
    for number, fields in lines[1:]:
        if len(fields) != len(columns):
            raise InputError(
                f"{table}: line {number}: expected {len(columns)} fields as in the header, got {len(fields)}"
            )
        row = {column: _value(field) for column, field in zip(columns, fields, strict=True)}
        identifier = row["participant_id"]
        if identifier is None:
            raise InputError(f"{table}: line {number}: expected a participant_id, got none")
        identifier = _prefixed("sub-", identifier)
        if identifier in first_seen:
            raise InputError(
                f"{table}: expected one row a participant, but {identifier} stands in lines {first_seen[identifier]} "
                f"and {number}; keep one"
            )
        first_seen[identifier] = number
        age = _age(table, number, row.get("age"))
        participants.append(Participant(identifier, row["diagnosis"], age, row.get("sex"), row.get("group_id")))
    return _join_named_groups(participants)


def find_scans(root: Path) -> dict[str, dict[str, list[Path]]]:
    """T1w scans by participant and session (empty where there is none), participants, sessions and names in order."""
    scans: dict[str, dict[str, list[Path]]] = {}
    for person in _folders(root, "sub-"):
        sessions = [("", person), *((session.name, session) for session in _folders(person, "ses-"))]
        found = {name: _t1w_files(folder / "anat") for name, folder in sessions}
        found = {name: paths for name, paths in found.items() if paths}
        if found:
            scans[person.name] = found
    return scans


def _folders(parent: Path, prefix: str) -> list[Path]:
    folders = (path for path in parent.iterdir() if path.name.startswith(prefix) and path.is_dir())
    return sorted(folders, key=lambda path: _natural(path.name))


def _t1w_files(folder: Path) -> list[Path]:
    """The T1w scans of an anat folder, without hidden files, which some systems leave beside the real ones."""
    if not folder.is_dir():
        return []
    names = re.compile(r"[^.].*_T1w\.nii(\.gz)?")
    return sorted(
        (path for path in folder.iterdir() if names.fullmatch(path.name)), key=lambda path: _natural(path.name)
    )


def _require_usable_label(root: Path, participants: list[Participant], labels: LabelMapping) -> None:
    if not any(person.diagnosis and labels.label(person.diagnosis) is not None for person in participants):
        found = _listed(Counter(person.diagnosis or "n/a" for person in participants))
        raise InputError(
            f"{root / 'participants.tsv'}: expected a diagnosis in positive ({', '.join(labels.positive)}) or negative "
            f"({', '.join(labels.negative)}), found {found or 'no participant'}; correct the lists of labels"
        )


def _take_scans(
    by_session: dict[str, list[Path]], sessions: str | tuple[str, ...], excluded: Counter[str]
) -> Iterator[tuple[str, Path]]:
    """One scan of each chosen session of a person, counting in `excluded` what is left out."""
    if not by_session:
        excluded["participant without a T1w scan"] += 1
    chosen = _choose_sessions(list(by_session), sessions)
    for session, paths in by_session.items():
        if session in chosen:
            excluded["further T1w scan of a session"] += len(paths) - 1
            yield session, paths[0]
        else:
            excluded["scan of a session not chosen"] += len(paths)


def _choose_sessions(available: list[str], sessions: str | tuple[str, ...]) -> set[str]:
    """The chosen ones of a person's sessions, which come in order."""
    if sessions == "all":
        return set(available)
    if sessions in ("first", "last"):
        return set(available[:1] if sessions == "first" else available[-1:])
    names = (sessions,) if isinstance(sessions, str) else sessions
    return set(available) & {_prefixed("ses-", name) for name in names}


def _read_lines(root: Path, table: Path) -> list[tuple[int, list[str]]]:
    """Line number and fields of each line that is not blank. A pair of quotes around a field is dropped."""
    if not root.is_dir():
        raise InputError(
            f"{root}: expected a BIDS folder, found {'a file' if root.exists() else 'nothing'}; check the path"
        )
    try:
        text = table.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{table}: expected a table of participants, found none; is {root} the BIDS root?") from error
    except OSError as error:
        raise InputError(f"{table}: expected a readable table of participants; {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{table}: expected UTF-8, found byte {error.object[error.start]:#x}; save it as UTF-8"
        ) from error
    numbered = enumerate(text.split("\n"), start=1)
    return [(number, list(_fields(line))) for number, line in numbered if line.strip()]


def _fields(line: str) -> Iterator[str]:
    for field in line.split("\t"):
        field = field.strip()
        quoted = len(field) > 1 and field[0] == field[-1] == '"'
        yield field[1:-1].strip() if quoted else field


def _value(field: str) -> str | None:
    return None if field.lower() in _MISSING else field


def _age(table: Path, number: int, text: str | None) -> float | None:
    """Years; ``89+``, as de-identified tables write the oldest, counts as 89."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\+?", text)
    if match is None:
        raise InputError(f"{table}: line {number}: expected age in years or n/a, got {text}")
    return float(match[1])


def _join_named_groups(participants: list[Participant]) -> list[Participant]:
    """A participant after whom a declared group is named belongs to it, whether or not the row says so."""
    declared = {person.group_id for person in participants}
    return [
        Participant(person.participant_id, person.diagnosis, person.age, person.sex, person.participant_id)
        if person.group_id is None and person.participant_id in declared
        else person
        for person in participants
    ]


def _prefixed(prefix: str, name: str) -> str:
    return name if name.startswith(prefix) else prefix + name


def _natural(name: str) -> list[tuple[int, str]]:
    """A sorting key that reads runs of digits as numbers."""
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()) if count)
