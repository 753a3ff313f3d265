"""Normalisation of a scan's arbitrary intensity units within the brain; the choice of method affects site effects."""

import numpy as np
from scipy import ndimage

from fedtune3d.models.encoders.contract import Intensity
from fedtune3d.preparation.arrays import Numbers, Volume

STRIPE = 0.05  # fraction of voxels on either side of the white-matter peak (tau of Shinohara et al.)
_MIN_PEAK = 0.2  # relative to the highest peak; lower ones on the bright side are vessels and fat
_BINS = 2000
_LANDMARKS = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99)  # percentiles (Nyúl et al., 2000, method L4)


def normalise_intensity(inside: Volume, method: Intensity, reference: Volume | None = None) -> Numbers:
    """Normalise the brain's voxels.

    ``zscore``: mean 0, standard deviation 1. ``white_stripe``: mean 0 and standard deviation 1 in the 10% of voxels
    around the white-matter peak, the last high peak in the histogram of a T1-weighted brain. ``histogram``: eleven
    percentiles are mapped to those of the z-scored `reference`, piecewise linearly. ``minmax``: scaled so that black
    (or the brain's darkest voxel, if that is below 0) is 0 and the brightest voxel is 1. ``none``: unchanged.

    Args:
        inside: (n,) the scan's voxels in the brain.
        method: One of `models.encoders.contract.INTENSITIES`.
        reference: (m,) the template's voxels in its brain; needed only by ``histogram``.

    Returns:
        (n,) float64; not finite if all voxels are equal.

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
    is_peak = (
        (density > np.roll(density, 1)) & (density >= np.roll(density, -1)) & (density >= _MIN_PEAK * density.max())
    )
    peaks = np.flatnonzero(is_peak[1:-1]) + 1
    peak = int(peaks[-1] if len(peaks) else density.argmax())
    rank = np.mean(values <= (edges[peak] + edges[peak + 1]) / 2)
    first, last = np.quantile(values, (max(0.0, rank - STRIPE), min(1.0, rank + STRIPE)))
    between: np.ndarray = values[(values >= first) & (values <= last)]
    return between


def _through_landmarks(values: Numbers, scan: Numbers, template: Numbers) -> Numbers:
    """Map the scan's landmarks to the template's piecewise linearly, extrapolating the outer segments."""
    distinct = np.diff(scan, prepend=-np.inf) > 0
    scan, template = scan[distinct], template[distinct]
    if len(scan) < 2:
        return np.full_like(values, np.nan)
    slopes = np.diff(template) / np.diff(scan)
    piece = np.clip(np.searchsorted(scan, values) - 1, 0, len(slopes) - 1)
    moved: Numbers = template[piece] + slopes[piece] * (values - scan[piece])
    return moved
