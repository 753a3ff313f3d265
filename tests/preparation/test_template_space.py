"""Between a prepared scan and the template."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from simulated_heads import HeadScan, paint_head

from fedtune3d.preparation.atlas import FREESURFER_REGIONS, load_regions, packaged_atlas
from fedtune3d.preparation.prepare_scan import prepare_scan
from fedtune3d.preparation.settings import PreparationSettings
from fedtune3d.preparation.template import BRAIN_THRESHOLD, SPACE, load_template, read_mni152
from fedtune3d.preparation.template_space import region_in_scan, template_to_scan, to_template


def matrix_of(scale: float, shift: tuple[float, float, float]) -> np.ndarray:
    matrix = np.diag([scale, scale, scale, 1.0])
    matrix[:3, 3] = shift
    return matrix


def test_a_map_moves_with_the_grid_and_keeps_its_sum() -> None:
    volume = np.zeros((16, 16, 16), np.float32)
    volume[5, 6, 7] = 3
    moved = to_template(volume, matrix_of(1, (2, 0, -1)))  # template (3, 6, 8) is the scan's (5, 6, 7)
    assert moved[3, 6, 8] == 3
    assert moved.sum() == 3
    cube = np.zeros((16, 16, 16), np.float32)
    cube[4:12, 4:12, 4:12] = 1
    halved = to_template(cube, matrix_of(2, (0, 0, 0)))  # a voxel of the template is eight of the scan
    assert halved[3, 3, 3] == 8
    assert halved.sum() == pytest.approx(cube.sum())
    assert to_template(cube, np.eye(4)) is cube


def test_a_region_goes_the_other_way() -> None:
    region = np.zeros((16, 16, 16), bool)
    region[3, 6, 8] = True
    assert np.argwhere(region_in_scan(region, matrix_of(1, (2, 0, -1)))).tolist() == [[5, 6, 7]]


@pytest.mark.slow
def test_the_atlas_hippocampi_and_ventricles_fall_on_those_of_a_real_anatomy(tmp_path: Path) -> None:
    """Registered through the prepared scan alone; an affine map leaves part of them outside, a wrong one nearly all."""
    maps, atlas = Path(os.environ.get("FEDTUNE3D_TEST_DATA", "/nowhere")) / "anatomies", packaged_atlas()
    anatomies = sorted(maps.glob("*.nii.gz"))
    if not anatomies or atlas is None:
        pytest.skip("needs the anatomies of FEDTUNE3D_TEST_DATA and the atlas extra")
    head, label_map = paint_head(anatomies[0], HeadScan(), seed=1)
    labels = np.asarray(label_map.dataobj)
    inside = (labels > 0) & (labels < 500)
    on_head = nib.Nifti1Image(np.where(inside, labels, 0).astype(np.int16), label_map.affine)
    from nilearn.image import resample_to_img

    brain = np.asarray(resample_to_img(on_head, head, interpolation="nearest", copy_header=True).dataobj) > 0
    path = tmp_path / "sub-1_desc-brain_T1w.nii.gz"
    nib.save(nib.Nifti1Image(np.asarray(head.dataobj) * brain, head.affine), path)
    prepared = prepare_scan(path, PreparationSettings())
    assert prepared.space != SPACE
    template = load_template(128, 1.5)
    matrix = template_to_scan(prepared, template)
    assert matrix is not None
    grid = nib.Nifti1Image(np.zeros((128,) * 3, np.int16), prepared.affine)
    truth = np.asarray(resample_to_img(on_head, grid, interpolation="nearest", copy_header=True).dataobj)
    for name, region in load_regions(atlas, FREESURFER_REGIONS, template).items():
        if name == "temporal lobe":
            continue  # these label maps have no gyri
        here, own = region_in_scan(region, matrix), np.isin(truth, FREESURFER_REGIONS[name])
        dice = 2 * (here & own).sum() / (here.sum() + own.sum())
        assert dice > 0.3, name


@pytest.mark.parametrize("kind", ["t1", "gm", "wm"])
def test_the_template_is_nilearns(kind: str) -> None:
    from nilearn import datasets

    tissue = "" if kind == "t1" else f"{kind}_"
    image = getattr(datasets, f"load_mni152_{tissue}template")(resolution=1)
    voxels, affine = read_mni152(kind)
    np.testing.assert_array_equal(voxels, image.get_fdata(dtype=np.float32))
    np.testing.assert_array_equal(affine, image.affine)
    if kind == "t1":
        brain = np.asarray(datasets.load_mni152_brain_mask(resolution=1).dataobj) > 0
        np.testing.assert_array_equal(voxels > BRAIN_THRESHOLD, brain)
