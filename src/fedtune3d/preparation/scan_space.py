"""Back from the prepared grid to the grid of the scan's file."""

import nibabel
import numpy as np
from scipy import ndimage

from fedtune3d.preparation.arrays import AnyVolume
from fedtune3d.preparation.prepared_scan import PreparedScan


def to_scan_space(volume: AnyVolume, prepared: PreparedScan, order: int = 1) -> nibabel.Nifti1Image:
    """A volume on the prepared grid, such as a saliency map, as a NIfTI on the grid of the scan's own file.

    Args:
        volume: (size, size, size) numbers, on the grid of `prepared`.
        prepared: Of the scan; `preparation.load_prepared` reads it.
        order: 1 interpolates linearly; 0 takes the nearest voxel, for labels (the volume's type is kept then).

    Returns:
        An image of the file's shape and affine, 0 beyond the prepared grid; its header holds nothing else of the file.

    Raises:
        ValueError: If the volume has another shape than the prepared scan.
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
