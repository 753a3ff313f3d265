import errno
import json
import os
from pathlib import Path

import pytest

from fedtune3d._utils.errors import StorageError
from fedtune3d.cohorts.scanner import scanner_of


def test_the_nearest_sidecar_counts_most(tmp_path: Path) -> None:
    anat = tmp_path / "sub-1" / "ses-2" / "anat"
    anat.mkdir(parents=True)
    scan = anat / "sub-1_ses-2_run-1_T1w.nii.gz"
    (tmp_path / "T1w.json").write_text(json.dumps({"Manufacturer": "Siemens", "MagneticFieldStrength": 1.5}))
    assert scanner_of(scan, tmp_path) == "Siemens 1.5 T"
    (anat / "sub-1_ses-2_run-2_T1w.json").write_text(json.dumps({"Manufacturer": "GE"}))  # of another run
    (anat / "sub-1_ses-2_T1w.json").write_text(json.dumps({"ManufacturersModelName": "Prisma"}))
    (anat / "sub-1_ses-2_run-1_T1w.json").write_text(json.dumps({"MagneticFieldStrength": 3}))
    assert scanner_of(scan, tmp_path) == "Siemens Prisma 3 T"


def test_no_sidecar_and_a_damaged_one(tmp_path: Path) -> None:
    scan = tmp_path / "sub-1" / "anat" / "sub-1_T1w.nii.gz"
    scan.parent.mkdir(parents=True)
    assert scanner_of(scan, tmp_path) is None
    scan.with_name("sub-1_T1w.json").write_text("[1]")
    assert scanner_of(scan, tmp_path) is None


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE])
def test_a_failing_machine_is_no_scan_without_a_scanner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    scan = tmp_path / "sub-1_T1w.nii.gz"
    scan.with_name("sub-1_T1w.json").write_text("{}")

    def fail(path: Path) -> bytes:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(StorageError, match=os.strerror(number)):
        scanner_of(scan, tmp_path)
