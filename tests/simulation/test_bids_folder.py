import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fedtune3d.simulation.bids_folder import scan_path, write_scan
from fedtune3d.simulation.scanning import Scan

AFFINE = np.array([[-1.5, 0, 0, 70], [0, 0, 2.5, -100], [0, -1.5, 0, 60], [0, 0, 0, 1.0]])


def made_up_scan() -> Scan:
    voxels = np.random.default_rng(0).uniform(10, 900, (8, 9, 7)).astype(np.float32)
    voxels[:2] = 0
    return Scan(voxels, AFFINE)


@pytest.mark.parametrize(("stored_as", "tolerance"), [("int16", 0.12), ("float32", 0.51)])
def test_a_scan_reads_back_as_it_was_made(tmp_path: Path, stored_as: str, tolerance: float) -> None:
    path, scan = scan_path(tmp_path, "sub-A001"), made_up_scan()
    write_scan(path, scan, stored_as)
    image = nib.load(path)
    assert image.get_data_dtype() == np.dtype(stored_as)
    np.testing.assert_allclose(image.get_fdata(), scan.voxels, atol=tolerance)
    assert (image.get_fdata()[:2] == 0).all()
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-4)
    np.testing.assert_allclose(image.get_qform(), AFFINE, atol=1e-3)
    sidecar = json.loads(path.with_name("sub-A001_T1w.json").read_text(encoding="utf-8"))
    assert sidecar["Simulated"] is True


def test_equal_scans_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_scan(scan_path(tmp_path / name, "sub-1"), made_up_scan(), "int16")
    one, two = (scan_path(tmp_path / name, "sub-1").read_bytes() for name in ("one", "two"))
    assert one == two
    assert one[4:8] == bytes(4)  # gzip's time stamp
