"""Resampling from the prepared grid back to the grid of the scan's file."""

import nibabel
import numpy as np
from scipy import ndimage

from fedtune3d.preparation.arrays import AnyVolume
from fedtune3d.preparation.prepared_scan import PreparedScan


def to_scan_space(volume: AnyVolume, prepared: PreparedScan, order: int = 1) -> nibabel.Nifti1Image:
    """Resample a volume on the prepared grid, such as a saliency map, to the grid of the scan's file.

    Args:
        volume: (size, size, size), on the grid of `prepared`.
        prepared: The prepared scan, from `preparation.store.load_prepared`.
        order: 1 for linear interpolation; 0 for the nearest voxel, which keeps labels and the volume's dtype.

    Returns:
        A NIfTI image with the file's shape and affine, 0 outside the prepared grid; its header copies nothing else.

    Raises:
        ValueError: If the volume's shape differs from the prepared scan's.
    """
    if volume.shape != prepared.voxels.shape:
        raise ValueError(f"expected a volume of shape {prepared.voxels.shape}, got {volume.shape}")
    to_volume = np.linalg.inv(prepared.to_scan @ prepared.affine) @ prepared.source_affine
    values = volume if order == 0 else np.asarray(volume, dtype=np.float32)
    moved = ndimage.affine_transform(
        values, to_volume[:3, :3], to_volume[:3, 3], prepared.source_shape, order=order, prefilter=False
    )
    image = nibabel.Nifti1Image(moved, prepared.source_affine)
    image.set_sform(prepared.source_affine, code="scanner")
    image.set_qform(prepared.source_affine, code="scanner")
    return image
