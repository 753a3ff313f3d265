"""The list of a site's inputs: scans in use, their sidecars, and every table."""

import hashlib
from pathlib import Path

from scan_records import make_record

from fedtune3d.federation.site.inputs import list_inputs


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_scans_in_use_sidecars_and_tables_are_listed_and_other_scans_are_not(tmp_path: Path) -> None:
    scan = "sub-1/anat/sub-1_T1w"
    write(tmp_path, f"{scan}.nii.gz", f"{scan}.json", "sub-2/anat/sub-2_T1w.nii.gz", "sub-1/sub-1_sessions.tsv")
    write(tmp_path, "participants.tsv", "dataset_description.json", "README")
    inputs = list_inputs(tmp_path, [make_record(tmp_path / f"{scan}.nii.gz")], None)
    assert inputs.root == str(tmp_path)
    assert inputs.files.keys() == {
        *(f"{scan}.nii.gz", f"{scan}.json", "sub-1/sub-1_sessions.tsv", "participants.tsv", "dataset_description.json")
    }
    assert all(sha256 == hashlib.sha256(name.encode()).hexdigest() for name, sha256 in inputs.files.items())


def test_a_table_elsewhere_is_named_by_its_whole_path(tmp_path: Path) -> None:
    write(tmp_path, "site/scans.tsv", "elsewhere/participants.tsv")
    inputs = list_inputs(tmp_path / "site" / "scans.tsv", [], tmp_path / "elsewhere" / "participants.tsv")
    assert inputs.root == str(tmp_path / "site")
    assert inputs.files.keys() == {"scans.tsv", str(tmp_path / "elsewhere" / "participants.tsv")}
