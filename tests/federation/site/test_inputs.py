"""The list of a site's inputs: scans in use, their sidecars, and every table."""

import hashlib
from pathlib import Path

from scan_records import make_record

from fedtune3d._utils.sealed import write_sealed_json
from fedtune3d.federation.site.inputs import list_inputs


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_scans_in_use_sidecars_and_tables_are_listed_and_other_scans_are_not(tmp_path: Path) -> None:
    scan = "sub-1/anat/sub-1_T1w"
    write(tmp_path, f"{scan}.nii.gz", f"{scan}.json", "sub-2/anat/sub-2_T1w.nii.gz", "sub-1/sub-1_sessions.tsv")
    write(tmp_path, "participants.tsv", "dataset_description.json", "README")
    record = make_record(tmp_path / f"{scan}.nii.gz")
    entry = tmp_path / "cache" / "prepared.npy"
    write_sealed_json(entry.with_suffix(".json"), {"causes": {"scan_sha256": "known since it was prepared"}})
    inputs = list_inputs(tmp_path, {record: entry}, None)
    contents = {
        f"sidecar {record.name}": f"{scan}.json",
        "table sub-1_sessions.tsv": "sub-1/sub-1_sessions.tsv",
        "table participants.tsv": "participants.tsv",
        "table dataset_description.json": "dataset_description.json",
    }
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in contents.items()}
    assert inputs.files == hashes | {f"scan {record.name}": "known since it was prepared"}


def test_no_name_holds_a_path(tmp_path: Path) -> None:
    write(tmp_path, "site/scans.tsv", "elsewhere/participants.tsv")
    inputs = list_inputs(tmp_path / "site" / "scans.tsv", {}, tmp_path / "elsewhere" / "participants.tsv")
    assert inputs.files.keys() == {"table scans.tsv", "table of participants"}
