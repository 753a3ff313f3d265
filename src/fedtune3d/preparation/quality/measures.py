"""What is measured of a scan while it is prepared."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fedtune3d.preparation.arrays import Affine, Mask, Numbers, Volume
from fedtune3d.preparation.nifti import Scan
from fedtune3d.preparation.template import Template

AS_IT_LIES = "as the template"
_TURNS = {AS_IT_LIES: (), "upside down": (2,), "back to front": (1,), "upside down and back to front": (1, 2)}
_FITS = 0.2  # correlation
_CLEARLY = 0.05
_BINS = 128
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Quality:
    """Measures of one scan; None where one cannot be taken.

    Attributes:
        brain_ml: Volume of the brain mask in the scan's own voxels, in millilitres.
        template_correlation: Pearson's r with the MNI152 template where both have brain. Of use as a number after
            registration; before it, only between scans of a site.
        template_dice: Overlap (Dice) of the brain mask with the template's on the prepared grid.
        snr: White matter's median over the noise's standard deviation.
        cnr: Difference of white and grey matter's medians over the noise's standard deviation.
        edge_cm2: Area of the brain mask on the scan's outermost planes, in cm²: the brain continues where
            the field of view ends. A tightly cropped brain touches the edge with up to a few.
        orientation: Which turn of the template fits the brain clearly best; anything but ``as the template`` is
            suspicious.
        header_degrees: The angle between the orientations that the header's sform and qform give, with 180 where they
            are each other's mirror image; None where only one is set.
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
    """Measure a scan.

    A head that was mirrored left to right with its header agreeing cannot be told: brain and template are all but
    symmetric. What can be told is that sform and qform contradict each other (`Quality.header_degrees`).

    Args:
        path: The scan's file, for its header.
        scan: As read.
        brain: bool, its brain in its own voxels.
        inside: Its voxels in the brain, in their order, after bias correction where there was one.
        on_grid: float32 (size, size, size), on the prepared grid, before normalisation.
        brain_on_grid: bool, the same shape.
        template: On the same grid.
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
    """The turn that fits best, where it fits clearly better and fits at all; else as it lies."""
    best = max(fits, key=lambda name: fits[name])
    return best if fits[best] > max(_FITS, fits[AS_IT_LIES] + _CLEARLY) else AS_IT_LIES


def _correlation(voxels: Volume, brain: Mask, template: Template, flipped: tuple[int, ...]) -> float:
    """Pearson's r with the flipped template where both have brain."""
    both = brain & np.flip(template.brain, flipped)
    if not both.any():
        return 0.0
    first, second = voxels[both].astype(np.float64), np.flip(template.voxels, flipped)[both].astype(np.float64)
    first, second = first - first.mean(), second - second.mean()
    norm = np.linalg.norm(first) * np.linalg.norm(second)
    return float(first @ second / norm) if norm else 0.0


def _to_noise(voxels: Volume, brain: Mask, inside: Volume) -> tuple[float | None, float | None]:
    """Signal and contrast over noise.

    White and grey matter are the brightest two of three classes by Otsu's thresholds (Liao et al., 2001). The noise's
    standard deviation is 1.4826 times the median absolute pseudo-residual in the white: a voxel less the mean of its
    six neighbours, times √(6/7) (Gasser et al., 1986; Coupé et al., 2008, IEEE Transactions on Medical Imaging 27(4)),
    which needs no air around the head and so holds for masked scans, too. None for scans with negative voxels, whose
    zero is arbitrary.
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
    """The two thresholds that part values into the three classes of the largest variance between them (Otsu)."""
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
    image = nibabel.load(path)
    assert isinstance(image, nibabel.Nifti1Image)  # as read_scan found it
    header = image.header
    sform, qform = header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]
    if sform is None or qform is None:
        return None
    first, second = (matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0) for matrix in (sform, qform))
    turn = first.T @ second
    if np.linalg.det(turn) < 0:
        return 180.0
    return round(float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))), 1)
