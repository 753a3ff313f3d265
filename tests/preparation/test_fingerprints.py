from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from fedtune3d.preparation import fingerprints
from fedtune3d.preparation.fingerprints import id_pattern, keyed, normal_id, voxels_digest
from fedtune3d.preparation.nifti import read_scan

Save = Callable[..., Path]


@pytest.fixture
def original(phantom: SimpleNamespace) -> nib.Nifti1Image:
    """The brain in whole numbers, as scanners leave it."""
    image = phantom.image()
    return nib.Nifti1Image(np.rint(image.get_fdata()).astype(np.int16), image.affine)


def as_float32(image: nib.Nifti1Image) -> nib.Nifti1Image:
    return nib.Nifti1Image(image.get_fdata().astype(np.float32), image.affine)


def as_float64(image: nib.Nifti1Image) -> nib.Nifti1Image:
    return nib.Nifti1Image(image.get_fdata(), image.affine)


def turned(image: nib.Nifti1Image) -> nib.Nifti1Image:
    wanted = nib.orientations.axcodes2ornt(("L", "I", "A"))
    return image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), wanted))


def rescaled(image: nib.Nifti1Image) -> nib.Nifti1Image:
    copy = nib.Nifti1Image(image.get_fdata() * 3.7, image.affine)
    copy.set_data_dtype(np.int16)  # saved with another slope
    return copy


def padded(image: nib.Nifti1Image) -> nib.Nifti1Image:
    return nib.Nifti1Image(np.pad(image.get_fdata(), ((3, 1), (0, 2), (5, 5))), image.affine)


def digest(path: Path) -> str:
    return voxels_digest(read_scan(path))


@pytest.mark.parametrize(
    "change", [as_float32, as_float64, turned, rescaled, padded], ids=lambda change: change.__name__
)
@pytest.mark.parametrize("name", ["copy_T1w.nii", "copy_T1w.nii.gz"])
def test_a_copy_has_the_same_digest_however_it_was_saved(
    save_brain: Save, original: nib.Nifti1Image, change: Callable[[nib.Nifti1Image], nib.Nifti1Image], name: str
) -> None:
    assert digest(save_brain(image=original)) == digest(save_brain(name, change(original)))


def test_one_voxel_makes_another_digest(save_brain: Save, original: nib.Nifti1Image) -> None:
    voxels = np.array(original.dataobj)
    voxels[tuple(np.array(voxels.shape) // 2)] += 1
    other = save_brain("other_T1w.nii.gz", nib.Nifti1Image(voxels, original.affine))
    assert digest(save_brain(image=original)) != digest(other)


def test_a_mirrored_head_is_another_image(save_brain: Save, original: nib.Nifti1Image) -> None:
    mirrored = nib.Nifti1Image(np.array(original.dataobj)[::-1], original.affine)
    assert digest(save_brain(image=original)) != digest(save_brain("mirrored_T1w.nii.gz", mirrored))


def test_what_is_keyed_depends_on_key_kind_and_parts() -> None:
    texts = {keyed(b"k" * 16, "id", "1"), keyed(b"l" * 16, "id", "1"), keyed(b"k" * 16, "group", "1")}
    assert len(texts) == 3
    assert keyed(b"k" * 16, "id", "1") in texts


def test_ids_and_their_patterns() -> None:
    assert normal_id("sub-A007") == normal_id("sub-a7") == "a7"
    assert normal_id("sub-000") == "0"
    assert normal_id("sub-70") == "70"
    assert id_pattern("sub-ADNI002S0413") == "adni###s####"


@pytest.mark.parametrize(
    "values",
    [np.arange(-500, 3000), np.array([-0.0, 0.0, 0.1, 2**21]), np.random.default_rng(0).normal(size=200_000)],
    ids=["whole", "few", "many"],
)
def test_ranks_are_those_of_the_sorted_values_whichever_way_they_are_found(values: np.ndarray) -> None:
    drawn = np.random.default_rng(1).choice(values, (70, 80, 60)).astype(np.float32)
    ranks = fingerprints._ranks(drawn)
    assert ranks.dtype == np.dtype("<u4")
    np.testing.assert_array_equal(ranks, np.searchsorted(np.unique(drawn), drawn))
