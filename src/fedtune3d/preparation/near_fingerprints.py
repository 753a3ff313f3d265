"""Near fingerprints: scans of one person look alike when neither the voxels nor the session are the same.

What makes a brain this person's is what an affine registration to the MNI152 template and a regression on the template
leave over. Signs of sparse random projections of that residual form bands; two scans share a band when all its bits are
equal, which becomes likely only as their residuals correlate (locality-sensitive hashing, Charikar, STOC 2002). Sites
send each band's HMAC, so the server can count equal bands and nothing else. `benchmarks/fingerprints.py` measures how
often scans of one person and of two share `SUSPICIOUS_BANDS`.
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
from fedtune3d.preparation.template import load_tissue_fractions

if TYPE_CHECKING:
    import SimpleITK

SIZE, SPACING_MM = 128, 1.5
"""The grid on which fingerprints are computed, whatever grid a scan was prepared on."""

VERSION = "1"
BANDS = 512
BITS = 16
SUSPICIOUS_BANDS = 6
"""Of `BANDS`; see docs/leaks.md for how often two scans of one person miss it and two of different people reach it."""

_COARSER = 4
_FWHM_TO_SIGMA = 2 * np.sqrt(2 * np.log(2))
_SIGMA_VOXELS = 1.7  # 6 mm full width at half maximum, the coarse grid's spacing
_VOXELS_A_SIGN = 64
_POLYNOMIAL_DEGREE = 3
_STEPS = 100


def near_bands(prepared: NDArray[np.float16], spacing_mm: float, key: bytes) -> list[str]:
    """The HMACs of the bands of a prepared scan (size, size, size), 64 bits each in hexadecimal.

    Empty where the registration fails, which is no scan's fault: it can then be compared with none.
    """
    return [
        keyed(key, "band", VERSION, str(band), code.tobytes().hex())[:16]
        for band, code in _codes(on_grid(prepared, spacing_mm))
    ]


def on_grid(prepared: NDArray[np.float16], spacing_mm: float) -> NDArray[np.float16]:
    """A prepared scan of another grid on that of the fingerprints, centre on centre: linear, smoothed if it is finer.

    What is on this grid already is returned as it is.
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
    """(BANDS · BITS,) signs: each of a sum of random voxels of the residual less a sum of others."""
    added, subtracted = _chosen_voxels(len(residual))
    signs: NDArray[np.bool_] = residual[added].sum(axis=1) > residual[subtracted].sum(axis=1)
    return signs


def near_residual(prepared: NDArray[np.float16]) -> NDArray[np.float32] | None:
    """What is this person's own in a prepared scan: (voxels of the brain at 6 mm,) of unit length, or None.

    The scan, smoothed to 6 mm, is brought onto the template by an affine registration (correlation as the metric), and
    what the template's intensities, tissue maps, their squares and gradients, and a polynomial of degree 3 explain is
    taken out: contrast, bias field and what is left of size and position.
    """
    inside = prepared != 0
    voxels = prepared.astype(np.float32)
    voxels[inside] = (voxels[inside] - voxels[inside].mean()) / voxels[inside].std()  # whatever scale it came on
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
    """The affine from the template's millimetres to the scan's, both from the middle of their grids."""
    import SimpleITK as sitk

    n = voxels.shape[0] // _COARSER
    coarse = voxels.reshape(n, _COARSER, n, _COARSER, n, _COARSER).mean(axis=(1, 3, 5))
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # sums in another order would be other bits
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
    """Voxels (x, y, z) with the origin in the middle of the grid."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.T, dtype=np.float32))
    image.SetSpacing([spacing_mm] * 3)
    image.SetOrigin([-spacing_mm * (size - 1) / 2 for size in voxels.shape])
    return image


@cache
def _template() -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]:
    """MNI152 at 6 mm (32, 32, 32), z-scored in the brain; the brain less its rim; what it explains, as orthonormal
    columns (voxels of that brain, columns)."""
    maps = _template_maps(SIZE // _COARSER)
    template, grey, white, fluid, mask = maps
    brain = ndimage.binary_erosion(mask > 0.9)
    gradients = [part for one in (template, grey, fluid) for part in np.gradient(one)]
    squares = [template**2, grey**2, white**2, fluid**2, grey * white, grey * fluid]
    sharp = [template, grey, white, fluid, *gradients, *squares]
    blurred = [ndimage.gaussian_filter(one, 1.0) for one in sharp]
    columns = np.stack([one[brain] for one in (*sharp, *blurred, *_polynomials(template.shape[0]))], axis=1)
    return template, brain, np.linalg.qr(columns.astype(np.float64))[0].astype(np.float32)


def _template_maps(size: int) -> NDArray[np.float32]:
    """Intensity, grey matter, white matter, fluid and mask (5, size, size, size), centred on the brain."""
    from nilearn.datasets import load_mni152_template

    (fluid, grey, white), affine, mask = load_tissue_fractions()
    intensity = load_mni152_template(resolution=1).get_fdata(dtype=np.float32)
    intensity = np.where(mask, (intensity - intensity[mask].mean()) / intensity[mask].std(), 0.0)
    step = SPACING_MM * _COARSER / affine[0, 0]
    start = np.mean(extents(mask), axis=1) - step * (size - 1) / 2
    return np.stack(
        [
            ndimage.affine_transform(
                ndimage.gaussian_filter(one, 0.4 * step), np.full(3, step), start, (size,) * 3, order=1
            )
            for one in (intensity, grey, white, fluid, mask.astype(np.float32))
        ]
    )


def _polynomials(size: int) -> Iterator[NDArray[np.float32]]:
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, size, dtype=np.float32)] * 3, indexing="ij")
    degrees = range(_POLYNOMIAL_DEGREE + 1)
    return (x**i * y**j * z**k for i in degrees for j in degrees for k in degrees if i + j + k <= _POLYNOMIAL_DEGREE)


@cache
def _chosen_voxels(voxels: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two index arrays (BANDS · BITS, 64), the same everywhere."""
    rng = numpy_rng("near fingerprint", VERSION)
    added, subtracted = rng.integers(0, voxels, (2, BANDS * BITS, _VOXELS_A_SIGN))
    return added, subtracted
