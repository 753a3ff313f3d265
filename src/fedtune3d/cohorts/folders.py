"""Walk the folders of a BIDS-like data set: ``sub-*/[ses-*/]anat``.

No BIDS library is used: pybids 0.22 (nine more packages) takes 13 s for 200 people, bids2table requires pyarrow (55
    MB),
and ancpbids 0.4 is an alpha version that follows circular links endlessly.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.people import People, natural, read_people

Scans = dict[str, dict[str, list[Path]]]
"""Participant → session (empty if there are none) → T1w scans, all sorted; only participants with a scan."""

LISTED_SITES = 5
"""Folders that look like sites that a message lists at most."""
_T1W = re.compile(r"[^.].*_T1w\.nii(\.gz)?")  # excludes hidden files that some systems leave behind


def anat_folders(root: Path, name: str = "anat") -> Iterator[tuple[str, str, Path]]:
    """Yield participant, session and folder of each ``sub-*/[ses-*/]anat``, in order."""
    for person in _folders(root, "sub-"):
        for session in (person, *_folders(person, "ses-")):
            if (session / name).is_dir():
                yield person.name, session.name if session != person else "", session / name


def t1w_files(folder: Path) -> list[Path]:
    """List the T1w scans in a folder, sorted by name."""
    paths = [path for path in folder.iterdir() if _T1W.fullmatch(path.name)]
    return sorted(map(_require_utf8, paths), key=lambda path: natural(path.name))


@contextmanager
def readable(root: Path) -> Iterator[None]:
    """Turn file system errors into an `InputError` of one line that names the folder."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename or root}: expected a readable folder; {error.strerror}") from error


def read_people_of(root: Path, scans: Scans, participants: Path | None) -> People:
    """Read the participants table: the given one, else the folder's own, else that of the raw folder above.

    Derivatives are in the folder ``derivatives`` of a raw data set. Raises `InputError` if there is no table, or as
    `read_people`.
    """
    return read_people(participants or _participants_table(root), scans)


def require_one_site(root: Path) -> None:
    """Raise `InputError` for a folder that holds no people but folders with people, as the one above all sites."""
    with readable(root):
        if (root / "participants.tsv").exists() or _folders(root, "sub-"):
            return
        inner = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
        sites = [path.name for path in inner if (path / "participants.tsv").exists() or _folders(path, "sub-")]
    if sites:
        listed = ", ".join(sites[:LISTED_SITES]) + (", …" if sites[LISTED_SITES:] else "")
        raise InputError(
            f"{root}: expected the folder of one site, found folders in it that look like sites ({listed}); name each "
            f"of them as a site, such as {root / sites[0]}"
        )


def _participants_table(root: Path) -> Path:
    folders = [root, *([root.parent.parent] if root.parent.name == "derivatives" else [])]
    for folder in folders:
        table = folder / "participants.tsv"
        if table.exists() or table.is_symlink():
            return table
    for folder in folders:
        if (other := folder / "participants.csv").exists():
            raise InputError(
                f"{other}: expected participants.tsv, separated by tabs; save it under that name and in that format"
            )
    raise InputError(
        f"{root / 'participants.tsv'}: expected a table of participants, found none; is {root} the right folder? "
        "If the table is elsewhere, name it in the site's key `participants`, or with --participants of `init`"
    )


def _folders(parent: Path, prefix: str) -> list[Path]:
    folders = (path for path in parent.iterdir() if path.name.startswith(prefix) and path.is_dir())
    return sorted(map(_require_utf8, folders), key=lambda path: natural(path.name))


def _require_utf8(path: Path) -> Path:
    try:
        path.name.encode()
    except UnicodeEncodeError:
        name = path.name.encode(errors="backslashreplace").decode()
        raise InputError(f"{path.parent}: expected names in UTF-8, found {name}; rename it") from None
    return path
