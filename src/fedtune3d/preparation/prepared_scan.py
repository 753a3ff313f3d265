"""A scan on the encoder's input grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtune3d.preparation.arrays import Affine, Mask
from fedtune3d.preparation.quality.measures import Quality
from fedtune3d.preparation.recognition import Step

BACKGROUND = 0.0  # every prepared voxel outside the brain; see `prepare_scan`


@dataclass(frozen=True)
class PreparedScan:
    """A scan as input to the encoder.

    Attributes:
        voxels: float16 (x, y, z) in RAS order, by default mean 0 and standard deviation 1 in the brain, `BACKGROUND`
            outside.
        brain: bool, the same shape: the brain mask, with holes filled.
        affine: (4, 4) float64, voxel indices → millimetres of `space`, RAS, axes parallel to the world's.
        space: ``scan``, the file's world space, or the name of the template's (MNI152NLin2009aSym).
        to_scan: (4, 4) float64, millimetres of `space` → the file's world millimetres; the identity in space ``scan``.
        source_shape: The file's three axes.
        source_affine: (4, 4) float64, the file's affine.
        brain_ml: Volume of the brain mask, from the file's voxels, in millilitres.
        steps: Steps applied: ``brain``, ``bias``, ``register``, in this order.
        quality: Quality measures.
        voxels_sha256: `fingerprints.voxels_digest` of the file.
    """

    voxels: NDArray[np.float16]
    brain: Mask
    affine: Affine
    space: str
    to_scan: Affine
    source_shape: tuple[int, ...]
    source_affine: Affine
    brain_ml: float
    steps: tuple[Step, ...]
    quality: Quality
    voxels_sha256: str
