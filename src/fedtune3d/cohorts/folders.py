"""Walk the folders of a BIDS-like data set: ``sub-*/[ses-*/]anat``.

Walked by hand: of the BIDS libraries, pybids 0.22 (nine more packages) took 13 s over 200 people, bids2table brings
pyarrow (55 MB), and ancpbids 0.4 is an alpha that follows a looped link until the system stops it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.people import People, natural, read_people

Scans = dict[str, dict[str, list[Path]]]
"""T1w scans by participant and session (empty where there is none), names in order; no one without a scan."""

_T1W = re.compile(r"[^.].*_T1w\.nii(\.gz)?")  # not the hidden files that some systems leave beside the real ones


def anat_folders(root: Path, name: str = "anat") -> Iterator[tuple[str, str, Path]]:
    """Participant, session and folder of each ``sub-*/[ses-*/]anat``, in order."""
    for person in _folders(root, "sub-"):
        for session in (person, *_folders(person, "ses-")):
            if (session / name).is_dir():
                yield person.name, session.name if session != person else "", session / name


def t1w_files(folder: Path) -> list[Path]:
    """List the T1w scans of a folder, in the order of their names."""
    paths = [path for path in folder.iterdir() if _T1W.fullmatch(path.name)]
    return sorted(map(_require_utf8, paths), key=lambda path: natural(path.name))


@contextmanager
def readable(root: Path) -> Iterator[None]:
    """Turn an error of the file system into one line that names the folder."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename or root}: expected a folder that can be read; {error.strerror}") from error


def read_people_of(root: Path, scans: Scans, participants: Path | None) -> People:
    """Read the table of participants: the one given, else the folder's own, else that of the raw folder above.

    Derivatives stand in the ``derivatives`` of a raw folder. Raises `InputError` where there is no table, or as
    `read_people`.
    """
    return read_people(participants or _participants_table(root), scans)


def _participants_table(root: Path) -> Path:
    places = [root, *([root.parent.parent] if root.parent.name == "derivatives" else [])]
    for place in places:
        table = place / "participants.tsv"
        if table.exists() or table.is_symlink():
            return table
    raise InputError(
        f"{root / 'participants.tsv'}: expected a table of participants, found none; is {root} the right folder? "
        "A table elsewhere is named by the site's key `participants`, or by --participants of `init`"
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
