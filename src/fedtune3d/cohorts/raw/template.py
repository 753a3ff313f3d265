"""The MNI152 template on the prepared grid; it comes inside nilearn."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

SPACE = "MNI152NLin2009aSym"  # nilearn's template, by the name that BIDS gives it
_FWHM_TO_SIGMA = 2 * np.sqrt(2 * np.log(2))


@dataclass(frozen=True)
class Template:
    """The template's brain.

    Attributes:
        voxels: float32 (size, size, size), RAS, 0 outside the brain.
        brain: bool, the same shape.
        affine: (4, 4), voxel indices → MNI152 millimetres; its middle voxel is the middle of the brain's extent.
    """

    voxels: np.ndarray
    brain: np.ndarray
    affine: np.ndarray


@lru_cache(maxsize=2)
def load_template(size: int, spacing_mm: float) -> Template:
    """The template on a grid of `size` voxels of `spacing_mm` a side, smoothed as the coarser grid asks for.

    References:
        Fonov et al., 2011, NeuroImage 54(1) (ICBM 152 nonlinear symmetric 2009a).
    """
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_template

    image, mask = load_mni152_template(resolution=1), load_mni152_brain_mask(resolution=1)
    head, brain = image.get_fdata(dtype=np.float32), np.asarray(mask.dataobj) > 0
    inside = np.argwhere(brain)
    middle = (inside.min(axis=0) + inside.max(axis=0) + 1) // 2
    grid = np.diag([spacing_mm] * 3 + [1.0])
    grid[:3, 3] = (image.affine @ [*middle, 1])[:3] - spacing_mm * (size // 2)
    sigma = np.sqrt(max(0.0, spacing_mm**2 - 1)) / _FWHM_TO_SIGMA
    matrix = np.linalg.inv(image.affine) @ grid

    def sample(values: np.ndarray) -> np.ndarray:
        sampled: np.ndarray = ndimage.affine_transform(
            ndimage.gaussian_filter(values, sigma), matrix[:3, :3], matrix[:3, 3], (size,) * 3, order=1
        )
        return sampled

    on_grid = ndimage.binary_fill_holes(sample(brain.astype(np.float32)) > 0.5)
    return Template(np.where(on_grid, sample(head), np.float32(0)), on_grid, grid)
