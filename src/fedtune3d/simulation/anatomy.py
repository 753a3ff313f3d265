"""Anatomies, from which simulated people are drawn."""

from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi
from numpy.typing import NDArray

SPACING_MM = 1.5
VELOCITY_SPACING_MM = 3.0
MARGIN_MM = 15.0

CSF, GREY, WHITE, THINNABLE = range(4)


@dataclass(frozen=True)
class Anatomy:
    """Tissue fractions on a 1.5 mm grid, and the deformations caused by dementia.

    Attributes:
        name: `MNI152`, or the id of a label map.
        tissues: uint8 (4, X, Y, Z), RAS axes, 255 = 1: fractions of cerebrospinal fluid (CSF), grey and white matter,
            which sum to the voxel's share inside the brain, and the grey matter that can be lost by thinning.
        affine: (4, 4), voxel → mm; right-anterior-superior, approximately in MNI space.
        atrophy: float32 (2, 3, X', Y', Z') on the 3 mm grid with the same origin: velocities in mm per mm of
            boundary shift, of growing ventricles and of shrinking hippocampi; None for anatomies of real people, which
            have their own atrophy.
    """

    name: str
    tissues: NDArray[np.uint8]
    affine: NDArray[np.float64]
    atrophy: NDArray[np.float32] | None

    @property
    def velocity_shape(self) -> tuple[int, int, int]:
        """The shape of the 3 mm grid that covers the tissues' grid from the same origin."""
        x, y, z = (int(np.ceil((n - 1) * SPACING_MM / VELOCITY_SPACING_MM)) + 1 for n in self.tissues.shape[1:])
        return x, y, z


def resample_to_anatomy_grid(
    maps: NDArray[np.float32], affine: NDArray[np.float64], brain: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Resample 1 mm maps (C, X, Y, Z) in RAS order to the 1.5 mm grid around the brain, with anti-aliasing.

    Returns:
        The maps and the new grid's affine.
    """
    spacing = np.diag(affine)[:3]
    corners = [np.flatnonzero(brain.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    start = np.array([axis[0] for axis in corners]) - MARGIN_MM / spacing
    stop = np.array([axis[-1] for axis in corners]) + MARGIN_MM / spacing
    step = SPACING_MM / spacing
    shape = np.ceil((stop - start) / step).astype(int) + 1
    resampled = np.stack(
        [
            ndi.affine_transform(ndi.gaussian_filter(tissue, 0.4 * step), step, start, tuple(shape), order=1, cval=0.0)
            for tissue in maps
        ]
    )
    new_affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    new_affine[:3, 3] = affine[:3, 3] + spacing * start
    return resampled, new_affine


def thinnable_grey(
    csf: NDArray[np.float32], grey: NDArray[np.float32], inner: NDArray[np.bool_], spacing_mm: float
) -> NDArray[np.float32]:
    """Return the grey matter within about 2 mm of the fluid or the brain's surface, outside the `inner` region."""
    inside = csf + grey
    facing = np.where(inner, 0.0, csf) + (inside < 0.05)
    near = np.clip(2.0 * ndi.gaussian_filter(facing.astype(np.float32), 1.5 / spacing_mm), 0.0, 1.0)
    image: np.ndarray = grey * near
    return image


def as_bytes(fractions: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Convert fractions from 0 to 1 to uint8, 255 = 1."""
    return np.rint(np.clip(fractions, 0.0, 1.0) * 255).astype(np.uint8)
