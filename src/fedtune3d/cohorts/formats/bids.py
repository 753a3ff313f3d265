"""A raw BIDS folder."""

from pathlib import Path

from fedtune3d.cohorts.folders import Scans, anat_folders, read_people_of, readable, require_one_site, t1w_files
from fedtune3d.cohorts.people import People

PATTERN = "sub-*/[ses-*/]anat/*_T1w.nii[.gz]"


def recognises(root: Path) -> bool:
    """Return False: raw BIDS is the fallback for folders that no other format recognises."""
    return False


def read(root: Path, participants: Path | None) -> tuple[Scans, People]:
    """Read the T1w scans of a raw BIDS folder, and its tables.

    Raises:
        InputError: If a folder cannot be read, holds the folders of sites, a name in it is not UTF-8, or a table is
            malformed.
    """
    require_one_site(root)
    scans: Scans = {}
    with readable(root):
        for person, session, folder in anat_folders(root):
            if paths := t1w_files(folder):
                scans.setdefault(person, {})[session] = paths
    return scans, read_people_of(root, scans, participants)
