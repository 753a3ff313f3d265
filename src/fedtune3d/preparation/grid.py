"""Onto the prepared grid: where it lies, and how voxels get there."""

import numpy as np
from scipy import ndimage

from fedtune3d.preparation.arrays import Affine, Box, Mask, Volume

_TRIMMED = 0.001  # of the brain's voxels on each side of an axis, so that a speck does not move its middle
_MASK_THRESHOLD = 0.499  # just below a half, so that ties do not hang on rounding
_FWHM_TO_SIGMA = 2 * np.sqrt(2 * np.log(2))


def extents(mask: Mask, trimmed: float = 0.0) -> list[tuple[int, int]]:
    """First and last index of the mask along each axis, leaving out a share of its voxels on either side."""
    extents = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        cumulative = np.cumsum(np.count_nonzero(mask, axis=others))
        first, last = np.searchsorted(cumulative, (trimmed * cumulative[-1] + 1, (1 - trimmed) * cumulative[-1]))
        extents.append((int(first), int(last)))
    return extents


def centred_grid(mask: Mask, affine: Affine, size: int, spacing_mm: float) -> Affine:
    """The affine of the prepared grid: RAS axes, its middle voxel on the mask's."""
    middle = [(first + last + 1) // 2 for first, last in extents(mask, _TRIMMED)]
    grid = np.diag([spacing_mm] * 3 + [1.0])
    grid[:3, 3] = (affine @ [*middle, 1])[:3] - spacing_mm * (size // 2)
    return grid


def resample(voxels: Volume, source_affine: Affine, mask: Mask, affine: Affine, size: int) -> tuple[Volume, Mask]:
    """The scan and its brain mask (holes filled) on the grid: float32 and bool, (size, size, size)."""
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
    return sampled, ndimage.binary_fill_holes(share > _MASK_THRESHOLD)


def resample_affinely(voxels: Volume, mask: Mask, to_voxels: Affine, size: int) -> tuple[Volume, Mask]:
    """A scan and its brain mask (holes filled) through an affine map: float32 and bool, (size, size, size).

    One linear interpolation, after the Gaussian smoothing of Cardoso et al. 2015 along voxel axes that lose resolution.
    The scan may have its skull: the mask follows by itself.

    Args:
        voxels: (x, y, z) float32.
        mask: bool, the same shape.
        to_voxels: (4, 4), indices of the prepared grid → indices of `voxels`.
        size: Of the prepared grid.
    """
    steps = np.linalg.norm(to_voxels[:3, :3], axis=1)
    sigma = np.sqrt(np.maximum(0.0, steps**2 - 1)) / _FWHM_TO_SIGMA

    def sample(values: Volume) -> Volume:
        smooth = ndimage.gaussian_filter(values, sigma)
        sampled: Volume = ndimage.affine_transform(
            smooth, to_voxels[:3, :3], to_voxels[:3, 3], (size,) * 3, order=1, prefilter=False
        )
        return sampled

    return sample(voxels), ndimage.binary_fill_holes(sample(mask.astype(np.float32)) > _MASK_THRESHOLD)


def crop_to(mask: Mask, margin: int) -> Box:
    """The box around a mask with `margin` voxels on each side, as far as the volume goes."""
    x, y, z = (slice(max(0, first - margin), last + 1 + margin) for first, last in extents(mask))
    return x, y, z


def crop_affine(affine: Affine, box: Box) -> Affine:
    """The affine of a box cut out of a volume with this `affine`."""
    cropped = affine.copy()
    cropped[:3, 3] = (affine @ [*(side.start for side in box), 1])[:3]
    return cropped
