"""Affine registration of a brain to the MNI152 template."""

import numpy as np

from fedtune3d.preparation.arrays import Affine, Volume
from fedtune3d.preparation.itk import TO_LPS, to_itk
from fedtune3d.preparation.template import Template

SHRINK_FACTORS = (4, 2)
SHARE_OF_VOXELS = 0.5
ITERATIONS = 200
SEED = 1


def register_to_template(brain_voxels: Volume, affine: Affine, template: Template) -> Affine:
    """The affine map that takes the template's millimetres to the scan's, where the two brains correlate most.

    Twelve parameters, from the two centres of mass; correlation on two levels (6 mm, then 3 mm) over every second
    voxel, gradient descent with a shrinking step. SimpleITK; the same bits on every run: one thread, fixed samples.

    Args:
        brain_voxels: (x, y, z) float32, 0 outside the brain.
        affine: (4, 4), voxel indices → the scan's millimetres, RAS, without shear.
        template: What to register to.

    Returns:
        (4, 4) float64, template mm → scan mm.
    """
    import SimpleITK

    fixed, moving = to_itk(template.voxels, template.affine), to_itk(brain_voxels, affine)
    method = SimpleITK.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(SHARE_OF_VOXELS, SEED)
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetShrinkFactorsPerLevel(SHRINK_FACTORS)
    method.SetSmoothingSigmasPerLevel([0.75 * factor for factor in SHRINK_FACTORS])
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, ITERATIONS, 0.6, 1e-6)
    method.SetOptimizerScalesFromPhysicalShift()
    moments = SimpleITK.CenteredTransformInitializerFilter.MOMENTS
    start = SimpleITK.CenteredTransformInitializer(fixed, moving, SimpleITK.AffineTransform(3), moments)
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(fixed, moving)
    found = SimpleITK.AffineTransform(start)
    matrix, centre = np.reshape(found.GetMatrix(), (3, 3)), np.array(found.GetCenter())
    in_lps = np.eye(4)
    in_lps[:3, :3] = matrix
    in_lps[:3, 3] = np.array(found.GetTranslation()) + centre - matrix @ centre
    return TO_LPS @ in_lps @ TO_LPS
