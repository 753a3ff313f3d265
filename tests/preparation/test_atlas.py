"""Regions of an atlas on the template's grid."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.preparation.atlas import FREESURFER_REGIONS, load_regions, packaged_atlas
from fedtune3d.preparation.template import Template, load_template

LAS_2MM = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def template() -> Template:
    return load_template(128, 1.5)


def write_atlas(path: Path, labels: np.ndarray, affine: np.ndarray = LAS_2MM) -> Path:
    nib.save(nib.Nifti1Image(labels.astype(np.int16), affine), path)
    return path


def box_atlas() -> np.ndarray:
    """Label 5 on the right at x 20 to 40 mm, 7 on the left; y and z around the origin, 20 mm wide."""
    labels = np.zeros((91, 109, 91))
    labels[25:36, 58:69, 31:42] = 5
    labels[55:66, 58:69, 31:42] = 7
    return labels


def test_a_region_lies_where_its_millimetres_say(tmp_path: Path, template: Template) -> None:
    path = write_atlas(tmp_path / "atlas.nii.gz", box_atlas())
    regions = load_regions(path, {"right": (5,), "both": (5, 7)}, template)
    voxels = np.argwhere(regions["right"])
    mm = voxels @ template.affine[:3, :3].T + template.affine[:3, 3]
    np.testing.assert_allclose([mm.min(axis=0), mm.max(axis=0)], [[19, -11, -11], [41, 11, 11]], atol=1.6)
    assert regions["right"].sum() * 1.5**3 == pytest.approx(22**3, rel=0.1)
    assert regions["both"].sum() == pytest.approx(2 * regions["right"].sum(), rel=0.1)
    assert (regions["both"] & regions["right"]).sum() == regions["right"].sum()


def test_what_is_no_atlas_in_mni152_is_refused(tmp_path: Path, template: Template) -> None:
    there = write_atlas(tmp_path / "atlas.nii.gz", box_atlas())
    with pytest.raises(InputError, match=r"has no voxel of amygdala \(labels 18, 54\) in MNI152"):
        load_regions(there, {"amygdala": (18, 54)}, template)
    shifted = LAS_2MM.copy()
    shifted[0, 3] += 60
    far = write_atlas(tmp_path / "far.nii.gz", box_atlas(), shifted)
    with pytest.raises(InputError, match=r"in MNI152, but 100% of right lies outside its brain"):
        load_regions(far, {"right": (5,)}, template)
    four = write_atlas(tmp_path / "four.nii.gz", np.zeros((4, 4, 4, 2)))
    with pytest.raises(InputError, match="with three axes, got 4; probability maps cannot be used"):
        load_regions(four, {"right": (5,)}, template)
    with pytest.raises(InputError, match=r"nothing.nii: expected a label map \(NIfTI\)"):
        load_regions(tmp_path / "nothing.nii", {"right": (5,)}, template)


def test_the_packaged_atlas_has_all_regions_where_they_are(template: Template) -> None:
    path = packaged_atlas()
    if path is None:
        pytest.skip("needs the atlas extra")
    regions = load_regions(path, FREESURFER_REGIONS, template)
    millilitres = {name: region.sum() * 1.5**3 / 1000 for name, region in regions.items()}
    assert 6 < millilitres["hippocampus"] < 12
    assert 15 < millilitres["ventricles"] < 50
    assert 80 < millilitres["temporal lobe"] < 200
    mm = np.argwhere(regions["hippocampus"]) @ template.affine[:3, :3].T + template.affine[:3, 3]
    right, left = mm[mm[:, 0] > 0].mean(axis=0), mm[mm[:, 0] < 0].mean(axis=0)
    # The centroids in the AAL atlas (Tzourio-Mazoyer et al. 2002).
    np.testing.assert_allclose([left, right], [[-25, -21, -10], [29, -20, -10]], atol=6)
