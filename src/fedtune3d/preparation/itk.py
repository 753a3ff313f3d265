"""Conversion of NumPy volumes in RAS to SimpleITK images, whose world axes point left and posterior (LPS)."""

from typing import TYPE_CHECKING

import numpy as np

from fedtune3d.preparation.arrays import Affine, Volume

if TYPE_CHECKING:
    import SimpleITK

TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def to_itk(voxels: Volume, affine: Affine) -> "SimpleITK.Image":
    """Create a SimpleITK image from (x, y, z) voxels and their affine to RAS millimetres, which must have no shear."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(voxels.T))
    lps = TO_LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image
