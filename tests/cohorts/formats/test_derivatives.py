"""BIDS derivatives, named as fMRIPrep, sMRIPrep and others name them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.formats import recognise
from fedtune3d.cohorts.formats.derivatives import entities, find_scans
from fedtune3d.cohorts.labels import LabelMapping
from fedtune3d.cohorts.reading import read_site

LABELS = LabelMapping(positive=("AD",), negative=("CN",))
TABLE = "participant_id\tdiagnosis\nsub-01\tAD\nsub-02\tCN\n"
MNI = "space-MNI152NLin2009cAsym_res-1"


def found(root: Path) -> dict[str, list[str]]:
    """Names of the scans, by participant and session."""
    return {
        f"{person} {session}".strip(): [path.name for path in paths]
        for person, sessions in find_scans(root).items()
        for session, paths in sessions.items()
    }


def test_the_own_space_is_taken_before_a_template_which_hides_atrophy(
    tmp_path: Path, empty_site: Callable[..., Path]
) -> None:
    names = ["desc-preproc_T1w.nii.gz", f"{MNI}_desc-preproc_T1w.nii.gz", "desc-brain_mask.nii.gz", "T1w.json"]
    root = empty_site(tmp_path, None, [f"sub-01/anat/sub-01_{name}" for name in names])
    assert found(root) == {"sub-01": ["sub-01_desc-preproc_T1w.nii.gz"]}


def test_a_template_space_alone_is_taken(tmp_path: Path, empty_site: Callable[..., Path]) -> None:
    names = [f"{MNI}_desc-preproc_T1w.nii.gz", f"{MNI}_desc-brain_mask.nii.gz"]
    root = empty_site(tmp_path, None, [f"sub-01/ses-2/anat/sub-01_ses-2_{name}" for name in names])
    assert found(root) == {"sub-01 ses-2": [f"sub-01_ses-2_{names[0]}"]}


def test_without_its_skull_before_preprocessed_before_the_rest(tmp_path: Path, empty_site: Callable[..., Path]) -> None:
    names = ["desc-other", "desc-preproc", "desc-brain", ""]
    for last in range(4):
        scans = [f"sub-0{last}_{name}_T1w.nii" if name else f"sub-0{last}_T1w.nii" for name in names[last:]]
        empty_site(tmp_path, None, [f"sub-0{last}/anat/{scan}" for scan in scans])
    assert [scans[0] for scans in found(tmp_path).values()] == [
        "sub-00_desc-brain_T1w.nii",
        "sub-01_desc-brain_T1w.nii",
        "sub-02_desc-brain_T1w.nii",
        "sub-03_T1w.nii",
    ]


def test_versions_are_one_scan_and_runs_are_several(tmp_path: Path, empty_site: Callable[..., Path]) -> None:
    scans = [f"sub-01_run-{run}_{version}desc-preproc_T1w.nii.gz" for run in (1, 2) for version in ("", f"{MNI}_")]
    root = empty_site(tmp_path, None, [f"sub-01/anat/{scan}" for scan in scans])
    assert found(root)["sub-01"] == [
        "sub-01_run-1_desc-preproc_T1w.nii.gz",
        "sub-01_run-2_desc-preproc_T1w.nii.gz",
    ]


def test_entities_of_a_name() -> None:
    assert entities(Path("sub-01_ses-M00_space-MNI_desc-preproc_T1w.nii.gz")) == {
        "sub": "01",
        "ses": "M00",
        "space": "MNI",
        "desc": "preproc",
    }


@pytest.mark.parametrize("description", [{"DatasetType": "derivative"}, {"PipelineDescription": {"Name": "fMRIPrep"}}])
def test_a_derivative_below_its_raw_folder_is_read_with_the_raw_tables(
    tmp_path: Path, empty_site: Callable[..., Path], description: dict[str, object]
) -> None:
    raw = empty_site(tmp_path, TABLE, ["sub-01/anat/sub-01_T1w.nii.gz"])
    (raw / "sub-02").mkdir()
    (raw / "sub-02" / "sub-02_sessions.tsv").write_text("session_id\tage\nses-1\t70\n")
    root = raw / "derivatives" / "fmriprep"
    scans = [f"{one}/ses-1/anat/{one}_ses-1_desc-preproc_T1w.nii.gz" for one in ("sub-01", "sub-02")]
    empty_site(root, None, scans)
    (root / "dataset_description.json").write_text(json.dumps(description))
    assert recognise(root) == "derivatives"
    assert recognise(raw) == "bids"
    cohort = read_site(root, "A", LABELS)
    assert [(one.name, one.label, one.age) for one in cohort.records] == [
        ("sub-01_ses-1", 1, None),
        ("sub-02_ses-1", 0, 70.0),
    ]


def test_a_table_elsewhere_is_named(tmp_path: Path, empty_site: Callable[..., Path]) -> None:
    root = empty_site(tmp_path / "out", None, ["sub-01/anat/sub-01_desc-preproc_T1w.nii.gz"])
    with pytest.raises(
        InputError, match=r"out/participants\.tsv: expected a table .* in the site's key `participants`"
    ):
        read_site(root, "A", LABELS, format="derivatives")
    (tmp_path / "people.tsv").write_text(TABLE)
    cohort = read_site(root, "A", LABELS, format="derivatives", participants=tmp_path / "people.tsv")
    assert [one.participant_id for one in cohort.records] == ["sub-01"]
