"""Bring a scan's arbitrary units onto a common scale within its brain; site effects depend on which one is chosen."""

import numpy as np
from scipy import ndimage

from fedtune3d.models.encoders.contract import Intensity
from fedtune3d.preparation.arrays import Numbers, Volume

STRIPE = 0.05  # of the voxels on either side of the white matter's peak (Shinohara et al.'s tau)
_RARE = 0.2  # of the highest peak: lower ones on the bright side are vessels and fat
_BINS = 2000
_LANDMARKS = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99)  # percentiles (Nyúl et al., 2000, method L4)


def normalise_intensity(inside: Volume, method: Intensity, reference: Volume | None = None) -> Numbers:
    """The brain's voxels on the scale of a method.

    ``zscore``: mean 0, standard deviation 1. ``white_stripe``: mean 0 and standard deviation 1 in the 10 % of voxels
    around the white matter's peak, the last high peak of a T1-weighted brain's histogram. ``histogram``: eleven
    percentiles moved onto those of the z-scored `reference`, straight lines between and beyond. ``minmax``: from 0 for
    black, or the brain's darkest voxel where that is below 0, to 1 for the brightest. ``none``: unchanged.

    Args:
        inside: (n,) the scan's voxels in the brain.
        method: One of `models.encoders.contract.INTENSITIES`.
        reference: (m,) the template's voxels in its brain; needed by ``histogram`` only.

    Returns:
        (n,) float64; not finite where the voxels have no spread.

    References:
        Shinohara et al., 2014, NeuroImage: Clinical 6 (white stripe). Nyúl, Udupa and Zhang, 2000, IEEE Transactions on
        Medical Imaging 19(2) (histogram).
    """
    values = inside.astype(np.float64)
    if method == "none":
        return values
    if method == "minmax":
        lowest = min(0.0, float(values.min()))
        return np.asarray((values - lowest) / (values.max() - lowest), np.float64)
    if method == "white_stripe":
        stripe = _white_stripe(values)
        scaled: np.ndarray = (values - stripe.mean()) / stripe.std()
        return scaled
    if method == "histogram":
        assert reference is not None
        known = normalise_intensity(reference, "zscore")
        return _through_landmarks(values, np.percentile(values, _LANDMARKS), np.percentile(known, _LANDMARKS))
    scores: Numbers = (values - values.mean()) / values.std()
    return scores


def _white_stripe(values: Numbers) -> Numbers:
    low, high = np.percentile(values, (0.1, 99.9))
    counts, edges = np.histogram(values, bins=_BINS, range=(low, high))
    density = ndimage.gaussian_filter1d(counts.astype(np.float64), _BINS / 60)
    is_peak = (density > np.roll(density, 1)) & (density >= np.roll(density, -1)) & (density >= _RARE * density.max())
    peaks = np.flatnonzero(is_peak[1:-1]) + 1
    peak = int(peaks[-1] if len(peaks) else density.argmax())
    rank = np.mean(values <= (edges[peak] + edges[peak + 1]) / 2)
    first, last = np.quantile(values, (max(0.0, rank - STRIPE), min(1.0, rank + STRIPE)))
    between: np.ndarray = values[(values >= first) & (values <= last)]
    return between


def _through_landmarks(values: Numbers, scan: Numbers, template: Numbers) -> Numbers:
    """Piecewise linear from the scan's landmarks to the template's; the outer pieces go on beyond the last ones."""
    apart = np.diff(scan, prepend=-np.inf) > 0
    scan, template = scan[apart], template[apart]
    if len(scan) < 2:
        return np.full_like(values, np.nan)
    slopes = np.diff(template) / np.diff(scan)
    piece = np.clip(np.searchsorted(scan, values) - 1, 0, len(slopes) - 1)
    moved: Numbers = template[piece] + slopes[piece] * (values - scan[piece])
    return moved
