"""Whole heads, real and painted, from the scanner's grid to the model's; needs the raw extra and real anatomy."""

import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from simulated_heads import paint_head, varied_scan

from fedtune3d._utils.errors import ScanError
from fedtune3d.preparation.prepare_scan import prepare_scan
from fedtune3d.preparation.prepared_scan import PreparedScan
from fedtune3d.preparation.scan_space import to_scan_space
from fedtune3d.preparation.settings import PreparationSettings
from fedtune3d.preparation.template import SPACE, load_template

pytest.importorskip("deepbet")

pytestmark = pytest.mark.ci
Dice = Callable[[np.ndarray, np.ndarray], float]
HIPPOCAMPI = (17, 53)


@pytest.fixture(scope="session")
def real_head(real_data: Path) -> SimpleNamespace:
    path = real_data / "scans" / "chris_T1w.nii.gz"
    return SimpleNamespace(path=path, prepared=prepare_scan(path))


def correlation_with_template(prepared: PreparedScan) -> float:
    template = load_template(128, 1.5)
    both = prepared.brain & template.brain
    return float(np.corrcoef(prepared.voxels[both].astype(np.float64), template.voxels[both])[0, 1])


def test_a_real_head_lands_on_the_template(real_head: SimpleNamespace, dice: Dice) -> None:
    prepared = real_head.prepared
    assert prepared.steps == ("brain", "bias", "register")
    assert prepared.space == SPACE
    assert correlation_with_template(prepared) > 0.5
    assert dice(prepared.brain, load_template(128, 1.5).brain) > 0.95
    assert 1400 < prepared.brain_ml < 1700
    assert (prepared.voxels[~prepared.brain] == 0).all()
    inside = prepared.voxels[prepared.brain].astype(np.float64)
    assert (inside.mean(), inside.std()) == pytest.approx((0, 1), abs=1e-3)
    assert prepared.quality.template_correlation == pytest.approx(correlation_with_template(prepared), abs=0.01)
    assert prepared.quality.orientation == "as the template"
    assert prepared.quality.edge_cm2 == 0


def test_a_map_goes_back_to_the_scans_own_grid(real_head: SimpleNamespace) -> None:
    prepared, source = real_head.prepared, nib.load(real_head.path)
    back = to_scan_space(prepared.brain.astype(np.float32), prepared)
    assert back.shape == source.shape
    np.testing.assert_allclose(back.affine, source.affine)
    brain = np.asarray(back.dataobj) > 0.5
    assert brain.sum() * np.prod(source.header.get_zooms()) / 1000 == pytest.approx(prepared.brain_ml, rel=0.01)
    voxels = np.asarray(to_scan_space(prepared.voxels, prepared).dataobj)
    assert np.corrcoef(voxels[brain], np.asarray(source.dataobj)[brain])[0, 1] > 0.9


@pytest.mark.slow
def test_the_same_bits_on_every_run(real_head: SimpleNamespace, tmp_path: Path) -> None:
    again = prepare_scan(shutil.copy(real_head.path, tmp_path / "sub-01_T1w.nii.gz"))
    assert again.voxels.tobytes() == real_head.prepared.voxels.tobytes()
    assert again.to_scan.tobytes() == real_head.prepared.to_scan.tobytes()
    assert again.quality == real_head.prepared.quality


@pytest.mark.slow
def test_the_mask_and_the_steps_that_are_there_already_are_taken(
    real_head: SimpleNamespace, tmp_path: Path, dice: Dice
) -> None:
    scan, mask = tmp_path / "sub-01_desc-preproc_T1w.nii.gz", tmp_path / "sub-01_desc-brain_mask.nii.gz"
    shutil.copy(real_head.path, scan)
    brain = to_scan_space(real_head.prepared.brain.astype(np.uint8), real_head.prepared, order=0)
    nib.save(brain, mask)
    prepared = prepare_scan(scan)
    assert prepared.steps == ("brain", "register")
    assert prepared.brain_ml == pytest.approx(np.asarray(brain.dataobj).sum() * 0.88**3 / 1000, rel=0.03)
    assert dice(prepared.brain, real_head.prepared.brain) > 0.97
    nib.save(nib.Nifti1Image(np.asarray(brain.dataobj)[:-1], brain.affine), mask)
    with pytest.raises(
        ScanError, match=r"desc-brain_mask.nii.gz: expected the shape .* of sub-01_desc-preproc_T1w.nii.gz"
    ):
        prepare_scan(scan)


@pytest.mark.slow
def test_ten_painted_heads_of_different_scanners_meet(real_data: Path, tmp_path: Path, dice: Dice) -> None:
    template = load_template(128, 1.5)
    hippocampi = []
    for number, label_map in enumerate(sorted((real_data / "anatomies").glob("*.nii.gz"))):
        head, labels = paint_head(label_map, varied_scan(number), seed=1)
        nib.save(head, tmp_path / "head_T1w.nii.gz")
        prepared = prepare_scan(tmp_path / "head_T1w.nii.gz")
        assert correlation_with_template(prepared) > 0.35, label_map.name
        assert dice(prepared.brain, template.brain) >= 0.93, label_map.name
        matrix = np.linalg.inv(labels.affine) @ prepared.to_scan @ prepared.affine
        known = np.isin(np.asarray(labels.dataobj), HIPPOCAMPI).astype(np.float32)
        moved = ndimage.affine_transform(known, matrix[:3, :3], matrix[:3, 3], (128,) * 3, order=1)
        hippocampi.append(moved > 0.5)
    assert len(hippocampi) == 10
    assert np.mean([dice(first, second) for first, second in combinations(hippocampi, 2)]) >= 0.5


@pytest.mark.slow
def test_a_head_whose_header_lies_stands_out(real_head: SimpleNamespace, tmp_path: Path) -> None:
    source = nib.load(real_head.path)
    turned = source.affine.copy()
    turned[2] *= -1
    turned[1] *= -1  # upside down and back to front: as if it lay on its face
    image = nib.Nifti1Image(np.asarray(source.dataobj), turned)
    image.set_sform(turned, code=1)
    image.set_qform(turned, code=1)
    nib.save(image, tmp_path / "turned_T1w.nii.gz")
    quality = prepare_scan(tmp_path / "turned_T1w.nii.gz").quality
    assert quality.orientation != "as the template" or quality.template_correlation < 0.35


def test_a_head_without_steps_is_refused(real_head: SimpleNamespace) -> None:
    with pytest.raises(ScanError, match=r"found 3,4\d\d mL; raw heads need brain extraction first"):
        prepare_scan(real_head.path, PreparationSettings(steps=("bias", "register")))
