from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

from fedtune3d._utils.errors import ScanError
from fedtune3d.preparation.prepare_scan import prepare_scan
from fedtune3d.preparation.prepared_scan import BACKGROUND, PreparedScan
from fedtune3d.preparation.settings import PreparationSettings

SaveBrain = Callable[..., Path]


def known_scores(prepared: PreparedScan, phantom: SimpleNamespace) -> tuple[np.ndarray, np.ndarray]:
    """The z-scores that the phantom has on the prepared grid, and where it is brain."""
    intensity = phantom.intensity(phantom.positions(prepared.voxels.shape, prepared.affine))
    brain = intensity > 0
    return (intensity - intensity[brain].mean()) / intensity[brain].std(), brain


def test_a_scan_of_the_grids_spacing_is_copied(save_brain: SaveBrain, phantom: SimpleNamespace) -> None:
    image = phantom.image(spacing=(1.5, 1.5, 1.5))
    prepared = prepare_scan(save_brain(image=image))
    assert prepared.voxels.shape == (128, 128, 128)
    assert prepared.voxels.dtype == np.float16
    source = image.get_fdata()
    shift = np.rint((prepared.affine[:3, 3] - image.affine[:3, 3]) / 1.5).astype(int)
    assert (shift < 0).all()  # the grid is larger than the scan
    inside = tuple(slice(-start, -start + size) for start, size in zip(shift, source.shape, strict=True))
    brain = source > 0
    expected = np.where(brain, (source - source[brain].mean()) / source[brain].std(), BACKGROUND)
    np.testing.assert_allclose(prepared.voxels[inside], expected, atol=2e-3)
    assert np.count_nonzero(prepared.voxels) == pytest.approx(np.count_nonzero(brain), abs=50)


@pytest.mark.ci
@pytest.mark.parametrize(
    ("spacing", "tilt", "error"),
    [((2.0, 2.0, 2.0), 0.0, 0.03), ((1.0, 1.0, 2.5), 0.0, 0.05), ((2.0, 1.5, 2.0), 0.15, 0.03)],
    ids=["2 mm", "thick slices", "oblique"],
)
def test_prepared_voxels_are_the_known_ones(
    save_brain: SaveBrain, phantom: SimpleNamespace, spacing: tuple[float, float, float], tilt: float, error: float
) -> None:
    prepared = prepare_scan(save_brain(image=phantom.image(spacing=spacing, tilt=tilt)))
    expected, brain = known_scores(prepared, phantom)
    middle = phantom.positions(prepared.voxels.shape, prepared.affine) - [4.0, -18.0, 12.0]
    deep = ((middle / [60.0, 76.0, 58.0]) ** 2).sum(axis=-1) < 1  # 6 mm from the edge, where smoothing blends in zeros
    difference = prepared.voxels.astype(np.float64) - expected
    scale = np.polyfit(expected[deep], prepared.voxels[deep].astype(np.float64), 1)[0]
    assert scale == pytest.approx(1, abs=0.1)
    assert np.sqrt(((difference - difference[deep].mean())[deep] ** 2).mean()) < 0.1
    assert np.corrcoef(prepared.voxels[deep], expected[deep])[0, 1] > 1 - error**2
    assert (prepared.voxels[~brain] != BACKGROUND).mean() < 0.02
    assert (prepared.voxels[brain] == BACKGROUND).mean() < 0.02
    assert prepared.brain_ml == pytest.approx(4 / 3 * np.pi * 66 * 82 * 64 / 1000, rel=0.02)
    np.testing.assert_allclose(prepared.affine[:3, :3], np.eye(3) * 1.5)
    np.testing.assert_allclose(prepared.affine[:3] @ [64, 64, 64, 1], [4.0, -18.0, 12.0], atol=2.6)


def test_scores_in_the_brain_have_mean_zero_and_deviation_one(save_brain: SaveBrain) -> None:
    voxels = prepare_scan(save_brain()).voxels.astype(np.float64)
    assert voxels[voxels != BACKGROUND].mean() == pytest.approx(0, abs=1e-3)
    assert voxels[voxels != BACKGROUND].std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("axes", ["LIA", "LPS", "PSR", "ASL"])
def test_the_order_of_the_stored_axes_is_irrelevant(save_brain: SaveBrain, phantom: SimpleNamespace, axes: str) -> None:
    spacing = (2.0, 2.5, 3.0)
    straight = prepare_scan(save_brain("sub-01_T1w.nii", phantom.image(spacing)))
    turned = prepare_scan(save_brain("sub-02_T1w.nii", phantom.image(spacing, axes)))
    np.testing.assert_allclose(turned.affine, straight.affine, atol=1e-4)
    np.testing.assert_allclose(turned.voxels.astype(float), straight.voxels.astype(float), atol=5e-3)
    flipped = straight.voxels[::-1]
    assert np.abs(flipped.astype(float) - straight.voxels.astype(float)).max() > 1  # the phantom can tell


def test_gain_and_faint_noise_outside_the_brain_change_little(save_brain: SaveBrain, phantom: SimpleNamespace) -> None:
    image = phantom.image()
    clean = image.get_fdata()
    noise = np.abs(np.random.default_rng(0).normal(0, 2, clean.shape))  # the brain is about 500
    noisy = nibabel.Nifti1Image((40 * (clean + noise)).astype(np.float32), image.affine)
    first = prepare_scan(save_brain(image=image))
    second = prepare_scan(save_brain("sub-02_T1w.nii.gz", noisy))
    np.testing.assert_array_equal(first.affine, second.affine)
    assert np.abs(first.voxels.astype(float) - second.voxels.astype(float)).max() < 0.15


def test_holes_in_the_brain_belong_to_it(save_brain: SaveBrain, phantom: SimpleNamespace) -> None:
    image = phantom.image()
    voxels = image.get_fdata().astype(np.float32)
    middle = tuple(slice(size // 2 - 3, size // 2 + 3) for size in voxels.shape)
    voxels[middle] = 0
    prepared = prepare_scan(save_brain(image=nibabel.Nifti1Image(voxels, image.affine)))
    assert prepared.voxels[64, 64, 64] < -3


def with_skull(phantom: SimpleNamespace) -> nibabel.Nifti1Image:
    image = phantom.image()
    voxels = image.get_fdata()
    head = phantom.positions(voxels.shape, image.affine) - [4.0, -18.0, 12.0]
    around = ((head / [90.0, 100.0, 90.0]) ** 2).sum(axis=-1) < 1
    return nibabel.Nifti1Image((voxels + 300 * (around & (voxels == 0))).astype(np.float32), image.affine)


def test_heads_and_crumbs_are_refused(save_brain: SaveBrain, phantom: SimpleNamespace) -> None:
    with pytest.raises(
        ScanError, match=r"head.nii: expected a brain-extracted scan.* found \d,\d+ mL; raw heads need brain"
    ):
        prepare_scan(save_brain("head.nii", with_skull(phantom)), PreparationSettings(steps=()))
    small = phantom.image()
    small.set_sform(small.affine @ np.diag([0.5, 0.5, 0.5, 1]), code=1)
    with pytest.raises(ScanError, match=r"found 18\d mL; is it cropped, or is its spacing wrong\?"):
        prepare_scan(save_brain("small.nii", small))
    mask = nibabel.Nifti1Image((phantom.image().get_fdata() > 0).astype(np.uint8), phantom.image().affine)
    with pytest.raises(ScanError, match=r"mask.nii: .* found a constant value in the brain; is it a mask\?"):
        prepare_scan(save_brain("mask.nii", mask))


@pytest.mark.parametrize("size", [1e6, 3e38])
def test_a_spike_that_flattens_the_rest_is_refused(
    save_brain: SaveBrain, phantom: SimpleNamespace, size: float
) -> None:
    image = phantom.image()
    voxels = image.get_fdata().astype(np.float32)
    voxels[31, 31, 31] = size
    with pytest.raises(ScanError, match=r"within 50 standard deviations of the brain's mean, found one at \d+; clip"):
        prepare_scan(save_brain(image=nibabel.Nifti1Image(voxels, image.affine)))


def test_a_real_head_is_refused_where_brain_extraction_is_left_out(real_data: Path) -> None:
    with pytest.raises(ScanError, match=r"found 3,4\d\d mL; raw heads need brain extraction first"):
        prepare_scan(real_data / "scans" / "chris_T1w.nii.gz", PreparationSettings(steps=()))


@pytest.mark.ci
def test_a_real_brain_is_centred_and_whole(real_data: Path, tmp_path: Path) -> None:
    image = nibabel.load(real_data / "anatomies" / "anatomy-03.nii.gz")
    labels = np.asarray(image.dataobj)
    brain = (labels > 0) & (labels < 100)
    painted = np.where(brain, 200 + (labels.astype(np.int64) * 37) % 800, 0).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(painted, image.affine), tmp_path / "brain.nii")
    prepared = prepare_scan(tmp_path / "brain.nii")
    assert prepared.brain_ml == pytest.approx(brain.sum() / 1000, rel=1e-3)
    inside = np.argwhere(prepared.voxels != BACKGROUND)
    assert len(inside) * 1.5**3 / 1000 == pytest.approx(prepared.brain_ml, rel=0.03)
    np.testing.assert_allclose((inside.min(axis=0) + inside.max(axis=0)) / 2, [64, 64, 64], atol=3)
