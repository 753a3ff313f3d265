"""Correction of the scanner's bias field: slow intensity variation over the head."""

import numpy as np

from fedtune3d.preparation.arrays import Affine, Mask, Volume
from fedtune3d.preparation.itk import to_itk

GRID_MM = 4.0
ITERATIONS = (50, 50, 30)
TOLERANCE = 1e-3


def correct_bias(voxels: Volume, affine: Affine, brain: Mask) -> Volume:
    """Divide a scan by its bias field, estimated with N4 within the brain on a grid of about 4 mm.

    Args:
        voxels: (x, y, z) float32.
        affine: (4, 4), voxel indices → millimetres, RAS, without shear.
        brain: bool, where the field is estimated; it is extrapolated outside.

    Returns:
        float32, the shape of `voxels`; bit-identical on every run, as one thread is used.

    References:
        Tustison et al., 2010, "N4ITK: Improved N3 Bias Correction", IEEE Transactions on Medical Imaging 29(6).
    """
    import SimpleITK

    positive = np.maximum(voxels, 1e-3 * np.percentile(voxels[brain], 99))  # N4 takes logarithms
    image, mask = to_itk(positive, affine), to_itk(brain.astype(np.uint8), affine)
    factors = [max(1, round(GRID_MM / size)) for size in image.GetSpacing()]
    correction = SimpleITK.N4BiasFieldCorrectionImageFilter()
    correction.SetNumberOfThreads(1)
    correction.SetMaximumNumberOfIterations(ITERATIONS)
    correction.SetConvergenceThreshold(TOLERANCE)
    correction.Execute(SimpleITK.Shrink(image, factors), SimpleITK.Shrink(mask, factors))
    logarithm = SimpleITK.GetArrayFromImage(correction.GetLogBiasFieldAsImage(image)).T.astype(np.float32)
    within = logarithm[brain]  # the field is unconstrained outside the brain
    field: Volume = np.exp(np.clip(logarithm, within.min(), within.max()))
    return voxels / field
