"""Find the scans to predict: files, folders, BIDS and CAPS folders, or tables of paths."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.folders import anat_folders, readable, t1w_files
from fedtune3d.cohorts.formats import load_format, recognise
from fedtune3d.cohorts.people import natural
from fedtune3d.cohorts.tables import read_table

ENDINGS = (".nii", ".nii.gz")


def find_scans(places: Sequence[Path]) -> list[Path]:
    """Return the scans at the given places, in their order.

    Args:
        places: Each a NIfTI file; a folder, all NIfTI files in and below which are taken; a BIDS folder (without need
            of a table), derivatives or a CAPS folder, whose T1-weighted scans are taken; or a .tsv with a column
            ``path``, relative to its own folder.

    Raises:
        InputError: If a place does not exist or has no scan, or a file of a table is missing.
    """
    return [scan for place in places for scan in _scans_at(place)]


def _scans_at(place: Path) -> list[Path]:
    if place.is_dir():
        with readable(place):
            scans = _in_folder(place)
        if not scans:
            raise InputError(f"{place}: expected NIfTI scans (.nii, .nii.gz) in this folder, found none")
        return scans
    if place.suffix.lower() == ".tsv":
        return list(_in_table(place))
    if not place.is_file():
        raise InputError(f"{place}: no such file; give NIfTI scans, folders or a .tsv with their paths")
    return [place]


def _in_folder(folder: Path) -> list[Path]:
    if (kind := recognise(folder)) != "bids":
        scans, _ = load_format(kind).read(folder, None)
        return [path for by_session in scans.values() for paths in by_session.values() for path in paths]
    if of_bids := [path for *_, anat in anat_folders(folder) for path in t1w_files(anat)]:
        return of_bids
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return sorted((path for path in files if path.name.endswith(ENDINGS)), key=lambda path: natural(str(path)))


def _in_table(table: Path) -> Iterator[Path]:
    rows = read_table(table, ("path",), "a table of scans").rows
    if not rows:
        raise InputError(f"{table}: expected a row per scan, found none")
    for line, row in rows:
        scan = table.parent / (row["path"] or "")
        if not scan.is_file():
            raise InputError(
                f"{table}: line {line}: {row['path'] or 'no path'}: no such file; paths start from {table.parent}"
            )
        yield scan
