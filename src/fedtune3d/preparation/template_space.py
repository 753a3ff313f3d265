"""Mapping between a prepared scan and the MNI152 template, if the scan is not in template space."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fedtune3d.preparation.prepared_scan import PreparedScan
from fedtune3d.preparation.registration import register_to_template
from fedtune3d.preparation.template import SPACE, Template


def template_to_scan(prepared: PreparedScan, template: Template) -> NDArray[np.float64] | None:
    """Return the affine (4, 4) from template to prepared-scan indices; None if the registration fails.

    It is the identity for a scan in template space, and otherwise from `register_to_template`.
    """
    if prepared.space == SPACE:
        return np.eye(4)
    voxels = np.asarray(prepared.voxels, np.float32)
    bright = np.where(prepared.brain, voxels - voxels[prepared.brain].min(), np.float32(0))
    try:
        to_scan = register_to_template(bright, prepared.affine, template)
    except RuntimeError:  # from ITK, if the two no longer overlap
        return None
    return np.asarray(np.linalg.inv(prepared.affine) @ to_scan @ template.affine)


def to_template(volume: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Resample a map linearly from the scan's grid to the template's, preserving its sum within the grid.

    Args:
        volume: (s, s, s).
        matrix: The result of `template_to_scan`.
    """
    if np.array_equal(matrix, np.eye(4)):
        return volume
    moved = ndimage.affine_transform(volume, matrix[:3, :3], matrix[:3, 3], order=1, prefilter=False)
    return np.asarray(moved * np.float32(abs(np.linalg.det(matrix[:3, :3]))))


def region_in_scan(region: NDArray[np.bool_], matrix: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Resample a region from the template's grid to the scan's, by the nearest voxel."""
    back = np.linalg.inv(matrix)
    moved = ndimage.affine_transform(region.astype(np.uint8), back[:3, :3], back[:3, 3], order=0, prefilter=False)
    return np.asarray(moved.astype(bool))
