from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from fedtune3d.preparation.near_fingerprints import BANDS, SUSPICIOUS_BANDS, near_bands, on_grid
from fedtune3d.preparation.prepare_scan import prepare_scan
from fedtune3d.preparation.settings import PreparationSettings

pytestmark = pytest.mark.ci

KEY = b"a key of sixteen"


@pytest.fixture(scope="module")
def scans(template_site: Path) -> list[Path]:
    """Scans of three simulated people."""
    return sorted(template_site.rglob("*_T1w.nii.gz"))[:3]


@pytest.fixture(scope="module")
def voxels(scans: list[Path]) -> list[np.ndarray]:
    """The prepared scans."""
    return [prepare_scan(path).voxels for path in scans]


@pytest.fixture(scope="module")
def bands(voxels: list[np.ndarray]) -> list[list[str]]:
    """Their bands, with `KEY`."""
    return [near_bands(scan, 1.5, KEY) for scan in voxels]


def equal_bands(first: list[str], second: list[str]) -> int:
    return sum(a == b for a, b in zip(first, second, strict=True))


def test_an_interpolated_copy_is_suspicious_and_another_person_is_not(
    scans: list[Path], bands: list[list[str]], tmp_path: Path
) -> None:
    image = nib.load(scans[0])
    moved = ndimage.shift(image.get_fdata(), (0.4, -0.3, 0.2), order=1) * 1.7
    copy = tmp_path / "copy_T1w.nii.gz"
    nib.save(nib.Nifti1Image(moved.astype(np.float32), image.affine), copy)
    bands = [*bands, near_bands(prepare_scan(copy).voxels, 1.5, KEY)]
    assert {len(codes) for codes in bands} == {BANDS}
    assert equal_bands(bands[0], bands[3]) >= 2 * SUSPICIOUS_BANDS
    for first, second in ((0, 1), (0, 2), (1, 2), (1, 3), (2, 3)):
        assert equal_bands(bands[first], bands[second]) < SUSPICIOUS_BANDS


def test_a_scan_prepared_on_another_grid_is_compared_on_that_of_the_fingerprints(
    scans: list[Path], voxels: list[np.ndarray], bands: list[list[str]]
) -> None:
    usual = voxels[0]
    fine = prepare_scan(scans[0], PreparationSettings(size=192, spacing_mm=1.0)).voxels
    assert on_grid(usual, 1.5) is usual
    moved = on_grid(fine, 1.0)
    assert moved.shape == usual.shape
    inside = (usual != 0) & (moved != 0)
    assert np.corrcoef(usual[inside].astype(float), moved[inside].astype(float))[0, 1] > 0.95
    of_fine = near_bands(fine, 1.0, KEY)
    assert equal_bands(bands[0], of_fine) >= SUSPICIOUS_BANDS > equal_bands(bands[1], of_fine)


def test_bands_show_nothing_without_the_key(voxels: list[np.ndarray], bands: list[list[str]]) -> None:
    first, again, other = bands[0], near_bands(voxels[0], 1.5, KEY), near_bands(voxels[0], 1.5, b"another of those")
    assert first == again
    assert equal_bands(first, other) == 0
    assert len(set(first)) == BANDS
