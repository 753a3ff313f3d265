"""The ROC curve from counts on an ascending scale, with a band."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedtune3d.evaluation.auc import draw_grid_counts

FALSE_POSITIVE_RATES = np.round(np.linspace(0, 1, 51), 2)
"""Where a band is computed."""


@dataclass(frozen=True)
class RocBand:
    """A pointwise 95% band, with one entry per value in `FALSE_POSITIVE_RATES`."""

    false_positive_rate: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class RocCurve:
    """An ROC curve as its points from (0, 0) to (1, 1), one per threshold at which a scan changes its class.

    Attributes:
        false_positive_rate: Ascending; points are joined by straight lines, of which those of ties are slanted.
        sensitivity: The same number of values, ascending.
        source: ``from predictions``, so that the points are exact, or ``from counts on a grid`` of probabilities.
        band: The band; None where it was not asked for.
    """

    false_positive_rate: tuple[float, ...]
    sensitivity: tuple[float, ...]
    source: str
    band: RocBand | None


def roc_curve(
    counts: np.ndarray, source: str, strata: Sequence[tuple[np.ndarray, int, int]], rng: np.random.Generator | None
) -> RocCurve | None:
    """Compute the points of the curve, and its pointwise 95% bootstrap band.

    Args:
        counts: (2, bins) counts of negatives and positives (`scale.finest_counts`).
        source: What was counted.
        strata: Strata as in `auc.bootstrap_grid_auc`.
        rng: Random generator of the bootstrap; None for no band.

    Returns:
        The curve; None if a class has no scans.
    """
    if not counts.any(axis=1).all():
        return None
    used = counts[:, counts.any(axis=0)]
    above = np.pad(np.cumsum(used[:, ::-1], axis=1), ((0, 0), (1, 0)))
    false, true = above / counts.sum(axis=1, keepdims=True)
    return RocCurve(
        false_positive_rate=tuple(false.tolist()),
        sensitivity=tuple(true.tolist()),
        source=source,
        band=None if rng is None else _band(strata, rng),
    )


def _band(strata: Sequence[tuple[np.ndarray, int, int]], rng: np.random.Generator) -> RocBand:
    parts = [sensitivities(*drawn) for drawn in draw_grid_counts(strata, rng)]
    low, high = np.quantile(np.concatenate(parts), (0.025, 0.975), axis=0)
    return RocBand(tuple(FALSE_POSITIVE_RATES.tolist()), tuple(low.tolist()), tuple(high.tolist()))


def sensitivities(negatives: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Compute the highest sensitivity at or below each false positive rate, (draws, len(FALSE_POSITIVE_RATES)).

    Args:
        negatives: (draws, bins) counts.
        positives: (draws, bins) counts.
    """
    false, true = (
        np.pad(np.cumsum(counts[:, ::-1], axis=1), ((0, 0), (1, 0))) / counts.sum(axis=1, keepdims=True)
        for counts in (negatives, positives)
    )
    result = np.empty((len(false), len(FALSE_POSITIVE_RATES)))
    for row, (rates, values) in enumerate(zip(false, true, strict=True)):
        result[row] = values[np.searchsorted(rates, FALSE_POSITIVE_RATES + 1e-12, side="right") - 1]
    return result
