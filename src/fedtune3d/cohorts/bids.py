"""Find the T1-weighted scans of a raw BIDS folder: ``sub-*/[ses-*/]anat/*_T1w.nii[.gz]``.

The folder is walked by hand: of the BIDS libraries, pybids 0.22 (nine packages more) took 13 s over 200 people,
bids2table brings pyarrow (55 MB), and ancpbids 0.4 is an alpha that follows a looped link until the system stops it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.people import natural

Found = dict[str, dict[str, list[Path]]]
"""T1w scans by participant and session (empty where there is none), names in order; no one without a scan."""

_T1W = re.compile(r"[^.].*_T1w\.nii(\.gz)?")  # not the hidden files that some systems leave beside the real ones


def find_bids_scans(root: Path) -> Found:
    """The T1w scans of a raw BIDS folder.

    Raises:
        InputError: If a folder cannot be read, or a name in it is no UTF-8.
    """
    scans: Found = {}
    with readable(root):
        for person, session, folder in anat_folders(root):
            if paths := t1w_files(folder):
                scans.setdefault(person, {})[session] = paths
    return scans


def anat_folders(root: Path, name: str = "anat") -> Iterator[tuple[str, str, Path]]:
    """Participant, session and folder of each ``sub-*/[ses-*/]anat``, in order."""
    for person in _folders(root, "sub-"):
        for session in (person, *_folders(person, "ses-")):
            if (session / name).is_dir():
                yield person.name, session.name if session != person else "", session / name


def t1w_files(folder: Path) -> list[Path]:
    """What is named like a T1w scan in a folder, in the order of names."""
    found = [path for path in folder.iterdir() if _T1W.fullmatch(path.name)]
    return sorted(map(_require_utf8, found), key=lambda path: natural(path.name))


@contextmanager
def readable(root: Path) -> Iterator[None]:
    """Say in one line which folder could not be read."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename or root}: expected a folder that can be read; {error.strerror}") from error


def _folders(parent: Path, prefix: str) -> list[Path]:
    found = (path for path in parent.iterdir() if path.name.startswith(prefix) and path.is_dir())
    return sorted(map(_require_utf8, found), key=lambda path: natural(path.name))


def _require_utf8(path: Path) -> Path:
    try:
        path.name.encode()
    except UnicodeEncodeError:
        name = path.name.encode(errors="backslashreplace").decode()
        raise InputError(f"{path.parent}: expected names in UTF-8, found {name}; rename it") from None
    return path
