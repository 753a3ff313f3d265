"""A ClinicaDL or Clinica CAPS folder, after ``t1-linear``.

Its scans are bias-corrected and affinely registered to the template, with the skull, and may be cropped.
"""

from pathlib import Path

from fedtune3d.cohorts.folders import Scans, anat_folders, read_people_of, readable, t1w_files
from fedtune3d.cohorts.formats.derivatives import entities
from fedtune3d.cohorts.people import People

PATTERN = "subjects/sub-*/ses-*/t1_linear/*_space-*_T1w.nii.gz"


def recognises(root: Path) -> bool:
    """Return whether the folder contains ``subjects``."""
    return (root / "subjects").is_dir()


def read(root: Path, participants: Path | None) -> tuple[Scans, People]:
    """Read the ``t1-linear`` scan of each session, preferring the cropped one, and the tables.

    Raises:
        InputError: If a folder cannot be read or a table is malformed.
    """
    scans: Scans = {}
    with readable(root):
        for person, session, folder in anat_folders(root / "subjects", "t1_linear"):
            if paths := [path for path in t1w_files(folder) if "space" in entities(path)]:
                best = min(paths, key=lambda path: entities(path).get("desc") != "Crop")
                scans.setdefault(person, {})[session] = [best]
    return scans, read_people_of(root, scans, participants)
