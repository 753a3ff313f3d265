"""Find the T1-weighted scans of BIDS derivatives, such as fMRIPrep's ``sub-*/[ses-*/]anat/*_desc-preproc_T1w.nii.gz``.

Of several versions of one scan, that in the person's own space is taken before one in a template's: fMRIPrep reaches a
template by a warp that bends every brain to the same shape, and atrophy with it. Then one without its skull is taken
before others, and the preprocessed before the rest.
"""

import re
from pathlib import Path

from fedtune3d.cohorts.bids import Found, anat_folders, readable, t1w_files
from fedtune3d.cohorts.people import natural

_VERSION = ("space", "cohort", "res", "desc")  # the entities that tell versions of one scan apart
_OWN_SPACES = ("", "T1w", "orig", "individual", "scanner", "ACPC")
_DESCRIPTIONS = ("brain", "skullstripped", "preproc", "")


def find_derivative_scans(root: Path) -> Found:
    """The best version of each T1w scan of a derivatives folder. Raises `InputError` if a folder cannot be read."""
    scans: Found = {}
    with readable(root):
        for person, session, folder in anat_folders(root):
            if paths := t1w_files(folder):
                scans.setdefault(person, {})[session] = _best_versions(paths)
    return scans


def entities(path: Path) -> dict[str, str]:
    """The entities of a BIDS file name, such as ``{"sub": "01", "space": "MNI152NLin2009cAsym"}``."""
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
