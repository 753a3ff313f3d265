"""The default anatomy: the MNI152 template and tissue maps included in nilearn.

They have no labels for ventricles and hippocampi, so we draw these regions in MNI space: tubes around centre lines,
restricted to voxels with a fluid fraction (ventricles) or grey matter fraction (hippocampi) above one half. The points
of the centre lines, in mm, were read off the template and are mirrored in x for the left side. The centroids of the
resulting hippocampi are within 6 mm of those of the AAL atlas, (-25, -21, -10) and (29, -20, -10).

References:
    Fonov et al., NeuroImage 2011 (MNI152 2009a symmetric). Tzourio-Mazoyer et al., NeuroImage 2002 (AAL).
"""

from itertools import pairwise

import numpy as np
import scipy.ndimage as ndi
from numpy.typing import NDArray

from fedtune3d.preparation.template import load_tissue_fractions
from fedtune3d.simulation.anatomy import (
    SPACING_MM,
    VELOCITY_SPACING_MM,
    Anatomy,
    as_bytes,
    resample_to_anatomy_grid,
    thinnable_grey,
)

Point = tuple[float, float, float]

# Centre lines of the right side and the radius of the tube around them, in mm of MNI space.
VENTRICLE_TUBES: tuple[tuple[tuple[Point, ...], float], ...] = (
    (((13, 36, -2), (13, 25, 8), (10, 10, 18), (12, -8, 23), (16, -28, 22), (26, -44, 14)), 11.0),  # horn, body, atrium
    (((26, -44, 14), (27, -62, 6)), 8.0),  # occipital horn
    (((26, -44, 14), (36, -34, -4), (34, -20, -14), (31, -10, -20)), 6.0),  # temporal horn
    (((0, 6, -6), (0, -8, -2), (0, -26, -2)), 7.0),  # third ventricle
)
HIPPOCAMPUS_TUBES: tuple[tuple[tuple[Point, ...], float], ...] = (
    (((23, -9, -21), (27, -16, -18), (31, -26, -11), (28, -35, -4), (21, -38, 2)), 6.0),
)


def template_anatomy() -> Anatomy:
    """Build the MNI152 anatomy, with atrophy velocities from its ventricle and hippocampus regions."""
    maps, affine, brain = load_tissue_fractions()
    tissues, affine = resample_to_anatomy_grid(maps, affine, brain)
    csf, grey, _ = tissues
    ventricles = draw_region(VENTRICLE_TUBES, csf.shape, affine) & (csf > 0.5)
    hippocampi = draw_region(HIPPOCAMPUS_TUBES, csf.shape, affine) & (grey > 0.5)
    inner = ndi.binary_dilation(ventricles, iterations=3)
    thinnable = thinnable_grey(csf, grey, inner, SPACING_MM)
    thinnable = np.maximum(thinnable, 0.5 * grey * ndi.gaussian_filter(hippocampi.astype(np.float32), 0.7))
    atrophy = np.stack([boundary_velocity(ventricles, 10.0), -boundary_velocity(hippocampi, 5.0)])
    return Anatomy("MNI152", as_bytes(np.concatenate([tissues, thinnable[None]])), affine, atrophy)


def draw_region(
    tubes: tuple[tuple[tuple[Point, ...], float], ...], shape: tuple[int, ...], affine: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return the voxels within the tubes of the right side or their mirror images."""
    axes = np.indices(shape, dtype=np.float32, sparse=True)
    x, y, z = (affine[axis, axis] * axes[axis] + affine[axis, 3] for axis in range(3))
    inside = np.zeros(shape, bool)
    for points, radius in tubes:
        for start, stop in pairwise(points):
            inside |= squared_distance_to_segment(np.abs(x), y, z, start, stop) < radius**2
    return inside


def squared_distance_to_segment(
    x: NDArray[np.float32], y: NDArray[np.float32], z: NDArray[np.float32], start: Point, stop: Point
) -> NDArray[np.float32]:
    """Return the squared distance of points with broadcastable coordinates to the segment from `start` to `stop`."""
    along = np.subtract(stop, start)
    offsets = [coordinate - origin for coordinate, origin in zip((x, y, z), start, strict=True)]
    share = sum(offset * step for offset, step in zip(offsets, along, strict=True)) / (along @ along)
    share = np.clip(share, 0.0, 1.0)
    distance: NDArray[np.float32] = sum(
        (offset - share * step) ** 2 for offset, step in zip(offsets, along, strict=True)
    )
    return distance


def boundary_velocity(region: NDArray[np.bool_], reach_mm: float) -> NDArray[np.float32]:
    """Return the velocity (3, X', Y', Z') on the 3 mm grid that moves the boundary outwards by a mean of 1 mm.

    It decays to 1/e at `reach_mm` outside the region and to zero at its centre, where no outward direction exists.
    """
    distance = ndi.distance_transform_edt(~region, SPACING_MM) - ndi.distance_transform_edt(region, SPACING_MM)
    smooth = ndi.gaussian_filter(distance.astype(np.float32), 1.0)
    gradient = np.stack(np.gradient(smooth, SPACING_MM))
    direction = gradient / np.maximum(np.linalg.norm(gradient, axis=0), 0.3)
    strength = np.where(distance > 0, np.exp(-distance / reach_mm), np.clip(1.0 + distance / 4.0, 0.0, 1.0))
    velocity = np.stack([ndi.gaussian_filter(component, 1.0) for component in direction * strength])
    outwards = (velocity * direction).sum(axis=0)[np.abs(distance) <= SPACING_MM].mean()
    step = round(VELOCITY_SPACING_MM / SPACING_MM)
    return pad_to_velocity_grid((velocity / outwards)[:, ::step, ::step, ::step].astype(np.float32), region.shape, step)


def pad_to_velocity_grid(velocity: NDArray[np.float32], shape: tuple[int, ...], step: int) -> NDArray[np.float32]:
    """Pad with zeros where the 3 mm grid extends beyond the last voxel of the 1.5 mm grid."""
    missing = [int(np.ceil((n - 1) / step)) + 1 - m for n, m in zip(shape, velocity.shape[1:], strict=True)]
    return np.pad(velocity, [(0, 0), *((0, extra) for extra in missing)])
