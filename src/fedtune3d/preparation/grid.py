"""Position of the prepared grid, and resampling onto it."""

import numpy as np
from scipy import ndimage

from fedtune3d.preparation.arrays import Affine, Box, Mask, Volume
from fedtune3d.preparation.holes import fill_holes

_TRIMMED = 0.001  # fraction of the brain's voxels ignored at each end of an axis, so that specks do not matter
_MASK_THRESHOLD = 0.499  # just below one half, so that ties do not depend on rounding
_FWHM_TO_SIGMA = 2 * np.sqrt(2 * np.log(2))


def extents(mask: Mask, trimmed: float = 0.0) -> list[tuple[int, int]]:
    """Return the first and last index of the mask along each axis, ignoring a fraction of its voxels at either end."""
    extents = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        cumulative = np.cumsum(np.count_nonzero(mask, axis=others))
        first, last = np.searchsorted(cumulative, (trimmed * cumulative[-1] + 1, (1 - trimmed) * cumulative[-1]))
        extents.append((int(first), int(last)))
    return extents


def centred_grid(mask: Mask, affine: Affine, size: int, spacing_mm: float) -> Affine:
    """Return the affine of a prepared grid centred on the mask, with RAS axes."""
    middle = [(first + last + 1) // 2 for first, last in extents(mask, _TRIMMED)]
    grid = np.diag([spacing_mm] * 3 + [1.0])
    grid[:3, 3] = (affine @ [*middle, 1])[:3] - spacing_mm * (size // 2)
    return grid


def resample(voxels: Volume, source_affine: Affine, mask: Mask, affine: Affine, size: int) -> tuple[Volume, Mask]:
    """Resample a scan and its brain mask (holes filled) onto the grid: float32 and bool, (size, size, size)."""
    import torch
    import torchio

    box = crop_to(mask, margin=2)
    cropped_affine = crop_affine(source_affine, box)
    subject = torchio.Subject(
        scan=torchio.ScalarImage(tensor=torch.from_numpy(voxels[box].copy())[None], affine=cropped_affine),
        mask=torchio.LabelMap(tensor=torch.from_numpy(mask[box].astype(np.float32))[None], affine=cropped_affine),
    )
    target = ((size,) * 3, affine)
    resampled = torchio.Resample(target, label_interpolation="linear", antialias=True, copy=False)(subject)
    sampled, share = (resampled.get_image(name).data[0].numpy() for name in ("scan", "mask"))
    return sampled, fill_holes(share > _MASK_THRESHOLD)


def resample_affinely(voxels: Volume, mask: Mask, to_voxels: Affine, size: int) -> tuple[Volume, Mask]:
    """Resample a scan and its brain mask (holes filled) through an affine map: float32 and bool, (size, size, size).

    Uses one linear interpolation, after Gaussian smoothing (Cardoso et al. 2015) along axes that lose resolution. The
    scan may include the skull; the mask is resampled separately.

    Args:
        voxels: (x, y, z) float32.
        mask: bool, the same shape.
        to_voxels: (4, 4), indices of the prepared grid → indices of `voxels`.
        size: Size of the prepared grid.
    """
    steps = np.linalg.norm(to_voxels[:3, :3], axis=1)
    sigma = np.sqrt(np.maximum(0.0, steps**2 - 1)) / _FWHM_TO_SIGMA

    def sample(values: Volume) -> Volume:
        smooth = ndimage.gaussian_filter(values, sigma)
        sampled: Volume = ndimage.affine_transform(
            smooth, to_voxels[:3, :3], to_voxels[:3, 3], (size,) * 3, order=1, prefilter=False
        )
        return sampled

    return sample(voxels), fill_holes(sample(mask.astype(np.float32)) > _MASK_THRESHOLD)


def crop_to(mask: Mask, margin: int) -> Box:
    """Return the box around a mask with a margin of `margin` voxels, clipped to the volume."""
    x, y, z = (slice(max(0, first - margin), last + 1 + margin) for first, last in extents(mask))
    return x, y, z


def crop_affine(affine: Affine, box: Box) -> Affine:
    """Return the affine of a box cropped from a volume with the given affine."""
    cropped = affine.copy()
    cropped[:3, 3] = (affine @ [*(side.start for side in box), 1])[:3]
    return cropped
