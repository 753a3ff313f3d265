from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from fedtune3d.preparation.prepare_scan import prepare_scan
from fedtune3d.preparation.quality.measures import AS_IT_LIES, Quality, two_thresholds
from fedtune3d.preparation.template import load_template

SaveBrain = Callable[..., Path]
NOISE = 20.0


def save_template(path: Path, flipped: tuple[int, ...] = (), cut: int = 0, noise: float = NOISE) -> Path:
    """The template's brain as a site's scan, its white matter about 1,000, turned in its array and cut at the top."""
    template = load_template(128, 1.5)
    clean = 1000 * template.voxels / np.percentile(template.voxels[template.brain], 90)
    noisy = clean + np.random.default_rng(0).normal(0, noise, clean.shape) * template.brain
    voxels = np.flip(np.maximum(noisy, 0), flipped).astype(np.float32)
    nib.save(nib.Nifti1Image(voxels[..., : 128 - cut], template.affine), path)
    return path


def quality_of(path: Path) -> Quality:
    return prepare_scan(path).quality


def test_two_thresholds_part_three_classes() -> None:
    values = np.repeat([1.0, 5.0, 9.0], 1000) + np.random.default_rng(0).normal(0, 0.3, 3000)
    low, high = two_thresholds(values)
    assert 1.9 < low < 4.1
    assert 5.9 < high < 8.1


def test_the_templates_own_brain(tmp_path: Path) -> None:
    quality = quality_of(save_template(tmp_path / "sub-01_space-MNI152NLin2009aSym_desc-brain_T1w.nii"))
    assert quality.template_correlation > 0.97
    assert quality.template_dice > 0.98
    assert quality.brain_ml == pytest.approx(load_template(128, 1.5).brain.sum() * 1.5**3 / 1000, rel=0.01)
    assert quality.orientation == AS_IT_LIES
    assert quality.edge_cm2 == 0


def test_twice_the_noise_halves_signal_and_contrast_to_noise(tmp_path: Path) -> None:
    first, second = (quality_of(save_template(tmp_path / f"{noise}.nii", noise=noise)) for noise in (40.0, 80.0))
    assert first.snr == pytest.approx(1000 / 40, rel=0.15)
    assert first.snr / second.snr == pytest.approx(2, rel=0.15)
    assert first.cnr / second.cnr == pytest.approx(2, rel=0.3)


@pytest.mark.parametrize(
    ("flipped", "told"), [((2,), "upside down"), ((1,), "back to front"), ((1, 2), "upside down and back to front")]
)
def test_a_turned_head_is_told(tmp_path: Path, flipped: tuple[int, ...], told: str) -> None:
    assert quality_of(save_template(tmp_path / "scan.nii", flipped)).orientation == told


def test_a_mirrored_head_cannot_be_told_but_by_its_header(tmp_path: Path) -> None:
    mirrored = save_template(tmp_path / "scan.nii", (0,))
    assert quality_of(mirrored).orientation == AS_IT_LIES
    image = nib.load(mirrored)
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine @ np.diag([-1, 1, 1, 1]), code=1)
    nib.save(image, tmp_path / "contradiction.nii")
    assert quality_of(tmp_path / "contradiction.nii").header_degrees == 180


def test_a_field_of_view_that_ends_in_the_brain(tmp_path: Path) -> None:
    assert quality_of(save_template(tmp_path / "scan.nii", cut=40)).edge_cm2 > 50


def test_scans_with_negative_voxels_have_no_signal_to_noise(save_brain: SaveBrain, phantom: SimpleNamespace) -> None:
    image = phantom.image()
    voxels = image.get_fdata()
    scored = np.where(voxels > 0, voxels - 500, 0).astype(np.float32)
    quality = quality_of(save_brain(image=nib.Nifti1Image(scored, image.affine)))
    assert (quality.snr, quality.cnr) == (None, None)
