"""BIDS derivatives, such as fMRIPrep's ``sub-*/[ses-*/]anat/*_desc-preproc_T1w.nii.gz``.

Among several versions of a scan, one in the person's own space is preferred to one in template space: fMRIPrep's
nonlinear warp gives every brain the same shape and so removes atrophy. Next, a skull-stripped version is preferred, and
then a preprocessed one.
"""

import re
from pathlib import Path

from fedtune3d.cohorts.dataset_description import is_derivative
from fedtune3d.cohorts.folders import Scans, anat_folders, read_people_of, readable, t1w_files
from fedtune3d.cohorts.people import People, natural

PATTERN = "sub-*/[ses-*/]anat/*_T1w.nii[.gz]"
_VERSION = ("space", "cohort", "res", "desc")  # entities that distinguish versions of the same scan
_OWN_SPACES = ("", "T1w", "orig", "individual", "scanner", "ACPC")
_DESCRIPTIONS = ("brain", "skullstripped", "preproc", "")


def recognises(root: Path) -> bool:
    """Return whether a folder's dataset_description.json declares it a derivative and it is not a CAPS folder."""
    return root.is_dir() and not (root / "subjects").is_dir() and is_derivative(root)


def read(root: Path, participants: Path | None) -> tuple[Scans, People]:
    """Read the best version of each T1w scan, and the tables.

    Raises:
        InputError: If a folder cannot be read or a table is malformed.
    """
    scans = find_scans(root)
    return scans, read_people_of(root, scans, participants)


def find_scans(root: Path) -> Scans:
    """Find the best version of each T1w scan. Raises `InputError` if a folder cannot be read."""
    scans: Scans = {}
    with readable(root):
        for person, session, folder in anat_folders(root):
            if paths := t1w_files(folder):
                scans.setdefault(person, {})[session] = _best_versions(paths)
    return scans


def entities(path: Path) -> dict[str, str]:
    """Parse the entities of a BIDS file name, such as ``{"sub": "01", "space": "MNI152NLin2009cAsym"}``."""
    parts = re.sub(r"\.nii(\.gz)?$", "", path.name).split("_")[:-1]
    return {key: value for key, _, value in (part.partition("-") for part in parts)}


def _best_versions(paths: list[Path]) -> list[Path]:
    versions: dict[str, list[Path]] = {}
    for path in paths:
        same = {key: value for key, value in entities(path).items() if key not in _VERSION}
        versions.setdefault(str(same), []).append(path)
    return [min(group, key=_rank) for group in versions.values()]


def _rank(path: Path) -> tuple[bool, int, list[tuple[int, str]]]:
    named = entities(path)
    description = named.get("desc", "")
    order = _DESCRIPTIONS.index(description) if description in _DESCRIPTIONS else len(_DESCRIPTIONS)
    return named.get("space", "") not in _OWN_SPACES, order, natural(path.name)
