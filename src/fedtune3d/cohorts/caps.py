"""Find the T1-weighted scans of a ClinicaDL or Clinica CAPS folder, after ``t1-linear``.

``subjects/sub-*/ses-*/t1_linear/*_space-MNI152NLin2009cSym_[desc-Crop_]res-1x1x1_T1w.nii.gz``: bias-corrected, brought
to the template by an affine transform, cropped or not, with the skull.
"""

from pathlib import Path

from fedtune3d.cohorts.bids import Found, anat_folders, readable, t1w_files
from fedtune3d.cohorts.derivatives import entities


def find_caps_scans(root: Path) -> Found:
    """The ``t1-linear`` scan of each session, the cropped one where there are both.

    Raises:
        InputError: If a folder cannot be read.
    """
    scans: Found = {}
    with readable(root):
        for person, session, folder in anat_folders(root / "subjects", "t1_linear"):
            if paths := [path for path in t1w_files(folder) if "space" in entities(path)]:
                best = min(paths, key=lambda path: entities(path).get("desc") != "Crop")
                scans.setdefault(person, {})[session] = [best]
    return scans
