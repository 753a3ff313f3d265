"""Near fingerprints, which recognise scans of the same person even from different sessions.

The individual part of a brain scan is the residual after affine registration to the MNI152 template and regression on
the template. Signs of sparse random projections of that residual form bands; two scans share a band if all its bits are
equal, which is likely only if their residuals correlate (locality-sensitive hashing, Charikar, STOC 2002). Sites send
each band's HMAC, so the server can only count equal bands. `benchmarks/fingerprints.py` measures how often two scans of
the same person, and of different people, share `SUSPICIOUS_BANDS`.
"""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.preparation.fingerprints import keyed
from fedtune3d.preparation.grid import extents
from fedtune3d.preparation.template import load_tissue_fractions, read_mni152

if TYPE_CHECKING:
    import SimpleITK

SIZE, SPACING_MM = 128, 1.5
"""The grid on which fingerprints are computed, whatever grid a scan was prepared on."""

VERSION = "1"
BANDS = 512
BITS = 16
SUSPICIOUS_BANDS = 6
"""Number of equal `BANDS` from which two scans are reported; see docs/leaks.md for misses and false alarms."""

_COARSER = 4
_FWHM_TO_SIGMA = 2 * np.sqrt(2 * np.log(2))
_SIGMA_VOXELS = 1.7  # 6 mm full width at half maximum, the coarse grid's spacing
_VOXELS_A_SIGN = 64
_POLYNOMIAL_DEGREE = 3
_STEPS = 100


def near_bands(prepared: NDArray[np.float16], spacing_mm: float, key: bytes) -> list[str]:
    """Compute the HMACs of the bands of a prepared scan (s, s, s), 64 bits each in hexadecimal.

    Empty if the registration fails; the scan can then not be compared.
    """
    return [
        keyed(key, "band", VERSION, str(band), code.tobytes().hex())[:16]
        for band, code in _codes(on_grid(prepared, spacing_mm))
    ]


def on_grid(prepared: NDArray[np.float16], spacing_mm: float) -> NDArray[np.float16]:
    """Resample a prepared scan to the grid of the fingerprints, centre to centre: linearly, smoothed if it is finer.

    A scan that is on this grid already is returned unchanged.
    """
    if (prepared.shape[0], spacing_mm) == (SIZE, SPACING_MM):
        return prepared
    step = SPACING_MM / spacing_mm
    smooth = ndimage.gaussian_filter(prepared.astype(np.float32), np.sqrt(max(0.0, step**2 - 1)) / _FWHM_TO_SIGMA)
    start = (prepared.shape[0] - 1) / 2 - step * (SIZE - 1) / 2
    moved = ndimage.affine_transform(smooth, np.full(3, step), np.full(3, start), (SIZE,) * 3, order=1)
    inside = ndimage.affine_transform(
        (prepared != 0).astype(np.float32), np.full(3, step), np.full(3, start), (SIZE,) * 3, order=1
    )
    return np.asarray(np.where(inside > 0.5, moved, 0), np.float16)


def _codes(prepared: NDArray[np.float16]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    residual = near_residual(prepared)
    if residual is not None:
        yield from enumerate(np.packbits(project(residual).reshape(BANDS, BITS), axis=1))


def project(residual: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return (BANDS · BITS,) signs, each of a sum of random voxels of the residual minus a sum of others."""
    added, subtracted = _chosen_voxels(len(residual))
    signs: NDArray[np.bool_] = residual[added].sum(axis=1) > residual[subtracted].sum(axis=1)
    return signs


def near_residual(prepared: NDArray[np.float16]) -> NDArray[np.float32] | None:
    """Compute the individual part of a prepared scan, (brain voxels at 6 mm,) of unit length; None if it fails.

    The scan, smoothed to 6 mm, is registered affinely to the template (correlation metric). The part explained by the
    template's intensities, tissue maps, their squares and gradients, and a polynomial of degree 3 is regressed out:
    contrast, bias field, and remaining differences in size and position.
    """
    inside = prepared != 0
    voxels = prepared.astype(np.float32)
    voxels[inside] = (voxels[inside] - voxels[inside].mean()) / voxels[inside].std()  # for any intensity scale
    transform = _register(voxels)
    if transform is None:
        return None
    import SimpleITK as sitk

    smooth = ndimage.gaussian_filter(voxels, _SIGMA_VOXELS)
    template, brain, explained = _template()
    aligned = sitk.Resample(
        _image(smooth, SPACING_MM), _image(template, SPACING_MM * _COARSER), transform, sitk.sitkLinear, 0.0
    )
    values = sitk.GetArrayFromImage(aligned).T[brain]
    residual = values - explained @ (explained.T @ values)
    return np.asarray(residual / max(float(np.linalg.norm(residual)), 1e-12), np.float32)


def _register(voxels: NDArray[np.float32]) -> "SimpleITK.Transform | None":
    """Return the affine from template to scan millimetres, both with the origin at the centre of their grids."""
    import SimpleITK as sitk

    n = voxels.shape[0] // _COARSER
    coarse = voxels.reshape(n, _COARSER, n, _COARSER, n, _COARSER).mean(axis=(1, 3, 5))
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # the order of summation affects the bits
    method.SetMetricAsCorrelation()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(sitk.AffineTransform(3), inPlace=False)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=1e-3, numberOfIterations=_STEPS, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    spacing = SPACING_MM * _COARSER
    try:
        transform: SimpleITK.Transform = method.Execute(_image(_template()[0], spacing), _image(coarse, spacing))
        return transform
    except RuntimeError:
        return None


def _image(voxels: NDArray[np.float32], spacing_mm: float) -> "SimpleITK.Image":
    """Create an image from voxels (x, y, z), with the origin at the centre of the grid."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.T, dtype=np.float32))
    image.SetSpacing([spacing_mm] * 3)
    image.SetOrigin([-spacing_mm * (size - 1) / 2 for size in voxels.shape])
    return image


@cache
def _template() -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]:
    """Return MNI152 at 6 mm (32, 32, 32), z-scored in the brain; the eroded brain mask; and the regressors as
    orthonormal columns (voxels in the mask, columns)."""
    maps = _template_maps(SIZE // _COARSER)
    template, grey, white, fluid, mask = maps
    brain = ndimage.binary_erosion(mask > 0.9)
    gradients = [gradient for volume in (template, grey, fluid) for gradient in np.gradient(volume)]
    squares = [template**2, grey**2, white**2, fluid**2, grey * white, grey * fluid]
    sharp = [template, grey, white, fluid, *gradients, *squares]
    blurred = [ndimage.gaussian_filter(volume, 1.0) for volume in sharp]
    columns = np.stack([volume[brain] for volume in (*sharp, *blurred, *_polynomials(template.shape[0]))], axis=1)
    return template, brain, np.linalg.qr(columns.astype(np.float64))[0].astype(np.float32)


def _template_maps(size: int) -> NDArray[np.float32]:
    """Load intensity, grey matter, white matter, fluid and mask, (5, size, size, size), centred on the brain."""
    (fluid, grey, white), affine, mask = load_tissue_fractions()
    intensity = read_mni152("t1")[0]
    intensity = np.where(mask, (intensity - intensity[mask].mean()) / intensity[mask].std(), 0.0)
    step = SPACING_MM * _COARSER / affine[0, 0]
    start = np.mean(extents(mask), axis=1) - step * (size - 1) / 2
    return np.stack(
        [
            ndimage.affine_transform(
                ndimage.gaussian_filter(volume, 0.4 * step), np.full(3, step), start, (size,) * 3, order=1
            )
            for volume in (intensity, grey, white, fluid, mask.astype(np.float32))
        ]
    )


def _polynomials(size: int) -> Iterator[NDArray[np.float32]]:
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, size, dtype=np.float32)] * 3, indexing="ij")
    degrees = range(_POLYNOMIAL_DEGREE + 1)
    return (x**i * y**j * z**k for i in degrees for j in degrees for k in degrees if i + j + k <= _POLYNOMIAL_DEGREE)


@cache
def _chosen_voxels(voxels: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw two index arrays (BANDS · BITS, 64), the same at every site."""
    rng = numpy_rng("near fingerprint", VERSION)
    added, subtracted = rng.integers(0, voxels, (2, BANDS * BITS, _VOXELS_A_SIGN))
    return added, subtracted
