"""Quality measures of a scan, computed during preparation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fedtune3d.preparation.arrays import Affine, Mask, Numbers, Volume
from fedtune3d.preparation.nifti import Scan, open_image
from fedtune3d.preparation.template import Template

AS_IT_LIES = "as the template"
_TURNS = {AS_IT_LIES: (), "upside down": (2,), "back to front": (1,), "upside down and back to front": (1, 2)}
_MIN_CORRELATION = 0.2
_MIN_GAIN = 0.05
_BINS = 128
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Quality:
    """Quality measures of one scan; None if a measure cannot be computed.

    Attributes:
        brain_ml: Volume of the brain mask, from the scan's own voxels, in millilitres.
        template_correlation: Pearson's r with the MNI152 template in the intersection of the brains. Meaningful as an
            absolute number only after registration; otherwise only for comparing a site's scans.
        template_dice: Overlap (Dice) of the brain mask with the template's on the prepared grid.
        snr: Median of white matter divided by the noise's standard deviation.
        cnr: Difference of the medians of white and grey matter divided by the noise's standard deviation.
        edge_cm2: Area of the brain mask on the scan's outermost planes, in cm², where the field of view cuts the brain
            off. A tightly cropped complete brain touches the edge with up to a few cm².
        orientation: The orientation of the template that fits the brain clearly best; anything but ``as the template``
            is suspicious.
        header_degrees: Angle between the orientations in the header's sform and qform, 180 for mirror images; None if
            only one is set.
    """

    brain_ml: float
    template_correlation: float
    template_dice: float
    snr: float | None
    cnr: float | None
    edge_cm2: float
    orientation: str
    header_degrees: float | None


def measure_quality(
    path: Path,
    scan: Scan,
    brain: Mask,
    inside: Volume,
    on_grid: Volume,
    brain_on_grid: Mask,
    template: Template,
) -> Quality:
    """Compute the quality measures of a scan.

    A left-right mirrored head with a consistent header cannot be detected, as brain and template are nearly symmetric.
    Contradicting sform and qform can (`Quality.header_degrees`).

    Args:
        path: The scan's file, for its header.
        scan: The scan as read.
        brain: bool, its brain mask on its own grid.
        inside: Its voxels in the brain, in array order, after bias correction if that was applied.
        on_grid: float32 (size, size, size), the scan on the prepared grid, before normalisation.
        brain_on_grid: bool, the same shape.
        template: The template on the same grid.
    """
    snr, cnr = _to_noise(scan.voxels, brain, inside)
    both = int(np.count_nonzero(brain_on_grid & template.brain))
    sizes = int(np.count_nonzero(brain_on_grid)) + int(np.count_nonzero(template.brain))
    fits = {name: _correlation(on_grid, brain_on_grid, template, axes) for name, axes in _TURNS.items()}
    return Quality(
        brain_ml=round(float(np.count_nonzero(brain) * abs(np.linalg.det(scan.affine[:3, :3])) / 1000), 1),
        template_correlation=round(fits[AS_IT_LIES], 4),
        template_dice=round(2 * both / sizes, 4),
        snr=snr,
        cnr=cnr,
        edge_cm2=round(_edge_cm2(brain, scan.affine), 2),
        orientation=_orientation(fits),
        header_degrees=_header_degrees(path),
    )


def _orientation(fits: Mapping[str, float]) -> str:
    """Return the orientation that fits best, if it fits well and clearly better; otherwise the scan's own."""
    best = max(fits, key=lambda name: fits[name])
    return best if fits[best] > max(_MIN_CORRELATION, fits[AS_IT_LIES] + _MIN_GAIN) else AS_IT_LIES


def _correlation(voxels: Volume, brain: Mask, template: Template, flipped: tuple[int, ...]) -> float:
    """Compute Pearson's r with the flipped template in the intersection of the brains."""
    both = brain & np.flip(template.brain, flipped)
    if not both.any():
        return 0.0
    first, second = voxels[both].astype(np.float64), np.flip(template.voxels, flipped)[both].astype(np.float64)
    first, second = first - first.mean(), second - second.mean()
    norm = np.linalg.norm(first) * np.linalg.norm(second)
    return float(first @ second / norm) if norm else 0.0


def _to_noise(voxels: Volume, brain: Mask, inside: Volume) -> tuple[float | None, float | None]:
    """Compute the signal-to-noise and contrast-to-noise ratios.

    White and grey matter are the brightest two of three classes by Otsu's thresholds (Liao et al., 2001). The noise's
    standard deviation is 1.4826 times the median absolute pseudo-residual in white matter: a voxel minus the mean of
    its six neighbours, times √(6/7) (Gasser et al., 1986; Coupé et al., 2008, IEEE Transactions on Medical Imaging
    27(4)). As this needs no air around the head, it also works for masked scans. None for scans with negative voxels,
    whose zero is arbitrary.
    """
    if inside.min() < 0:
        return None, None
    low, high = two_thresholds(inside)
    white = np.zeros(brain.shape, bool)
    white[brain] = inside > high
    box = ndimage.find_objects(brain.astype(np.uint8))[0]
    values, white = voxels[box], white[box]
    kernel = ndimage.generate_binary_structure(3, 1).astype(np.float32)
    kernel[1, 1, 1] = 0
    residual = np.sqrt(6 / 7) * (values - ndimage.convolve(values, kernel / 6, mode="nearest"))[white]
    noise = float(_MAD_TO_SIGMA * np.median(np.abs(residual)))
    if not noise > 0:
        return None, None
    bright = float(np.median(inside[inside > high]))
    grey = float(np.median(inside[(inside > low) & (inside <= high)]))
    return round(bright / noise, 2), round((bright - grey) / noise, 2)


def two_thresholds(values: Volume) -> tuple[float, float]:
    """Compute the two thresholds that maximise the variance between three classes (Otsu)."""
    first, last = np.percentile(values, (0.5, 99.5))
    counts, edges = np.histogram(values, bins=_BINS, range=(first, last))
    weight = np.concatenate([[0.0], np.cumsum(counts, dtype=np.float64)])
    moment = np.concatenate([[0.0], np.cumsum(counts * (edges[:-1] + edges[1:]) / 2)])

    def spread(start: NDArray[np.int64], stop: NDArray[np.int64]) -> Numbers:
        inside = weight[stop] - weight[start]
        between: Numbers = (moment[stop] - moment[start]) ** 2 / np.maximum(inside, 1e-12)
        return between

    low, high = np.triu_indices(_BINS - 1, k=1)
    low, high = low + 1, high + 1
    best = np.argmax(spread(np.zeros_like(low), low) + spread(low, high) + spread(high, np.full_like(high, _BINS)))
    return float(edges[low[best]]), float(edges[high[best]])


def _edge_cm2(brain: Mask, affine: Affine) -> float:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    area = 0.0
    for axis in range(3):
        planes = np.take(brain, (0, -1), axis=axis)
        area += int(np.count_nonzero(planes)) * float(np.prod(np.delete(spacing, axis))) / 100
    return area


def _header_degrees(path: Path) -> float | None:
    image = open_image(path)
    assert isinstance(image, nibabel.Nifti1Image)  # as checked by read_scan
    header = image.header
    sform, qform = header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]
    if sform is None or qform is None:
        return None
    first, second = (matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0) for matrix in (sform, qform))
    turn = first.T @ second
    if np.linalg.det(turn) < 0:
        return 180.0
    return round(float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))), 1)
