"""A CAPS folder as Clinica's t1-linear leaves it, with ClinicaDL's table of sessions."""

from collections.abc import Callable
from pathlib import Path

from fedtune3d.cohorts.formats import recognise
from fedtune3d.cohorts.labels import LabelMapping
from fedtune3d.cohorts.reading import read_site

SPACE = "space-MNI152NLin2009cSym"
TABLE = (
    "participant_id\tsession_id\tdiagnosis\tage\n"
    "sub-ADNI002S0295\tses-M000\tCN\t84.8\n"
    "sub-ADNI002S0295\tses-M012\tAD\t85.9\n"
    "sub-ADNI002S0413\tses-M000\tCN\t76.3\n"
)


def place(person: str, session: str, version: str, folder: str = "t1_linear") -> str:
    return f"subjects/{person}/{session}/{folder}/{person}_{session}_{version}T1w.nii.gz"


def test_sessions_with_their_own_labels(tmp_path: Path, empty_site: Callable[..., Path]) -> None:
    cropped, whole = f"{SPACE}_desc-Crop_res-1x1x1_", f"{SPACE}_res-1x1x1_"
    scans = [
        place("sub-ADNI002S0295", "ses-M000", cropped),
        place("sub-ADNI002S0295", "ses-M000", whole),
        place("sub-ADNI002S0295", "ses-M012", cropped),
        place("sub-ADNI002S0295", "ses-M024", cropped),
        place("sub-ADNI002S0413", "ses-M000", whole),
        place("sub-ADNI002S0413", "ses-M006", f"{SPACE}_", folder="t1_extensive"),
    ]
    root = empty_site(tmp_path, TABLE, scans)
    (root / "dataset_description.json").write_text('{"DatasetType": "derivative"}')
    assert recognise(root) == "caps"
    cohort = read_site(root, "A", LabelMapping(("AD",), ("CN",)))
    assert [(one.name, one.label, one.age) for one in cohort.records] == [
        ("sub-ADNI002S0295_ses-M000", 0, 84.8),
        ("sub-ADNI002S0295_ses-M012", 1, 85.9),
        ("sub-ADNI002S0413_ses-M000", 0, 76.3),
    ]
    assert [one.path for one in cohort.records] == [root / scans[index] for index in (0, 2, 4)]
    assert [(one.participant_id, one.reason, one.scans) for one in cohort.exclusions] == [
        ("sub-ADNI002S0295", "not in the table", 1)
    ]
