"""The ROC curve from counts on an ascending scale, with a band."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedtune3d.evaluation.auc import draw_grid_counts

FALSE_POSITIVE_RATES = np.round(np.linspace(0, 1, 51), 2)


@dataclass(frozen=True)
class RocCurve:
    """An ROC curve with one entry per value in `FALSE_POSITIVE_RATES`; `low` and `high` are empty without a band."""

    false_positive_rate: tuple[float, ...]
    sensitivity: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def roc_curve(
    counts: np.ndarray, strata: Sequence[tuple[np.ndarray, int, int]], rng: np.random.Generator | None
) -> RocCurve | None:
    """Compute the highest sensitivity at or below each false positive rate, with its pointwise 95% bootstrap band.

    Args:
        counts: (2, bins) counts of negatives and positives (`scale.finest_counts`).
        strata: Strata as in `auc.bootstrap_grid_auc`.
        rng: Random generator of the bootstrap; None for no band.

    Returns:
        The curve; None if a class has no scans.
    """
    if not counts.any(axis=1).all():
        return None
    low, high = np.empty(0), np.empty(0)
    if rng is not None:
        parts = [sensitivities(*drawn) for drawn in draw_grid_counts(strata, rng)]
        low, high = np.quantile(np.concatenate(parts), (0.025, 0.975), axis=0)
    return RocCurve(
        false_positive_rate=tuple(FALSE_POSITIVE_RATES.tolist()),
        sensitivity=tuple(sensitivities(counts[:1], counts[1:])[0].tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
    )


def sensitivities(negatives: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Compute the (draws, len(FALSE_POSITIVE_RATES)) sensitivities from (draws, bins) counts per class."""
    false, true = (
        np.pad(np.cumsum(counts[:, ::-1], axis=1), ((0, 0), (1, 0))) / counts.sum(axis=1, keepdims=True)
        for counts in (negatives, positives)
    )
    result = np.empty((len(false), len(FALSE_POSITIVE_RATES)))
    for row, (rates, values) in enumerate(zip(false, true, strict=True)):
        result[row] = values[np.searchsorted(rates, FALSE_POSITIVE_RATES + 1e-12, side="right") - 1]
    return result
