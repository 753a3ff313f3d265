from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import SimpleITK

from fedtune3d.preparation import bias
from fedtune3d.preparation.bias import correct_bias
from fedtune3d.preparation.itk import to_itk

Dice = Callable[[np.ndarray, np.ndarray], float]


def test_a_bias_field_is_taken_out(phantom: SimpleNamespace) -> None:
    image = phantom.image((4.0, 4.0, 4.0))
    brain = image.get_fdata() > 0
    field = np.exp(np.linspace(-0.4, 0.4, brain.shape[1], dtype=np.float32))[None, :, None]
    flat = np.where(brain, 500 + np.random.default_rng(0).normal(0, 5, brain.shape), 0).astype(np.float32)
    corrected = correct_bias(flat * field, image.affine, brain)
    assert (flat * field)[brain].std() / (flat * field)[brain].mean() > 0.15
    assert corrected[brain].std() / corrected[brain].mean() < 0.05


def test_a_slow_field_survives_a_coarse_grid_at_every_voxel() -> None:
    """Linear interpolation of a linear field is exact inside the grid, and constant beyond its border."""
    fine = to_itk(np.zeros((40, 31, 24), np.float32), np.diag([1.0, 1.5, 2.0, 1.0]))
    coarse = SimpleITK.Shrink(fine, [6, 4, 3])
    ramp = SimpleITK.PhysicalPointSource(SimpleITK.sitkVectorFloat32, *geometry(coarse))
    values = SimpleITK.VectorIndexSelectionCast(ramp, 1)
    found = bias._interpolate(values, fine)
    at = np.array([fine.TransformIndexToPhysicalPoint((0, y, 0))[1] for y in range(31)])
    centres = [coarse.TransformIndexToPhysicalPoint((0, y, 0))[1] for y in (0, coarse.GetSize()[1] - 1)]
    expected = np.clip(at, min(centres), max(centres))
    assert found.shape == (40, 31, 24)
    np.testing.assert_allclose(found, np.broadcast_to(expected[None, :, None], found.shape), atol=1e-4)


def geometry(image: SimpleITK.Image) -> tuple[object, ...]:
    return image.GetSize(), image.GetOrigin(), image.GetSpacing(), image.GetDirection()
