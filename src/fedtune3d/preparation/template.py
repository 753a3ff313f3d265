"""The MNI152 template, from nilearn, on the prepared grid."""

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fedtune3d.preparation.arrays import Affine, Mask, Volume
from fedtune3d.preparation.holes import fill_holes

SPACE = "MNI152NLin2009aSym"  # BIDS' name for nilearn's template
SURROUNDINGS_MM = 12.0
BRAIN_THRESHOLD = 0.2  # as nilearn's load_mni152_brain_mask
_FWHM_TO_SIGMA = 2 * np.sqrt(2 * np.log(2))


@dataclass(frozen=True)
class Template:
    """The template's brain.

    Attributes:
        voxels: float32 (size, size, size), RAS, 0 outside the brain.
        brain: bool, the same shape.
        surroundings: bool, the same shape: the brain and all within about 12 mm of it.
        affine: (4, 4), voxel indices → MNI152 millimetres; the central voxel is at the centre of the brain's extent.
    """

    voxels: Volume
    brain: Mask
    surroundings: Mask
    affine: Affine


@lru_cache(maxsize=2)
def load_template(size: int, spacing_mm: float) -> Template:
    """Load the template on a grid of `size` voxels of `spacing_mm` per axis, smoothed for the coarser resolution.

    References:
        Fonov et al., 2011, NeuroImage 54(1) (ICBM 152 nonlinear symmetric 2009a).
    """
    head, one_mm = read_mni152("t1")
    brain = head > BRAIN_THRESHOLD
    inside = np.argwhere(brain)
    middle = (inside.min(axis=0) + inside.max(axis=0) + 1) // 2
    grid = np.diag([spacing_mm] * 3 + [1.0])
    grid[:3, 3] = (one_mm @ [*middle, 1])[:3] - spacing_mm * (size // 2)
    sigma = np.sqrt(max(0.0, spacing_mm**2 - 1)) / _FWHM_TO_SIGMA
    matrix = np.linalg.inv(one_mm) @ grid

    def sample(values: Volume) -> Volume:
        sampled: Volume = ndimage.affine_transform(
            ndimage.gaussian_filter(values, sigma), matrix[:3, :3], matrix[:3, 3], (size,) * 3, order=1
        )
        return sampled

    on_grid = fill_holes(sample(brain.astype(np.float32)) > 0.5)
    surroundings = ndimage.binary_dilation(on_grid, iterations=round(SURROUNDINGS_MM / spacing_mm))
    return Template(np.where(on_grid, sample(head), np.float32(0)), on_grid, surroundings, grid)


def read_mni152(kind: str) -> tuple[Volume, Affine]:
    """Read nilearn's template at 1 mm: the brain (``t1``), grey (``gm``) or white matter (``wm``), scaled to at most 1.

    Equals `nilearn.datasets.load_mni152_template` and its like, but reads the file: importing ``nilearn.datasets``
    takes longer than all that is done with the template.
    """
    data = resources.files("nilearn") / "datasets" / "data"
    image = nib.Nifti1Image.from_filename(str(data / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"))
    voxels = np.asarray(image.dataobj).astype(np.float32)
    return voxels / voxels.max(), np.asarray(image.affine, float)


def load_tissue_fractions() -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_]]:
    """Load CSF, grey and white matter fractions (3, X, Y, Z) at 1 mm, summing to 1 in the brain; affine; brain mask.

    The averaged maps are blurrier than an individual brain; squaring them before normalising sharpens borders.
    """
    (head, affine), (grey, _), (white, _) = (read_mni152(kind) for kind in ("t1", "gm", "wm"))
    brain = head > BRAIN_THRESHOLD
    fractions = np.stack([np.clip(1.0 - grey - white, 0.0, 1.0), grey, white]) ** 2
    fractions = fractions / np.maximum(fractions.sum(axis=0), 1e-6) * brain
    return fractions.astype(np.float32), affine, brain
