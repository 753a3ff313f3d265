"""Counts of probabilities on a fixed grid, so that sites can be pooled without their predictions.

The grid is uniform in the logit (steps of 1/64 from −10 to 10), because the probabilities of fine-tuned networks
cluster near 0 and 1. A step is at most 0.004 in probability, at 0.5, and decreases towards the ends. Thresholds are
edges of the grid, so the confusion counts at them are exact. An AUC from the grid counts pairs inside one bin as ties,
so its error is at most half the share of such pairs, which `auc_error_bound` computes.

Counts contain no names, but at a small site they amount to its rounded probabilities per class; across hospitals bins
are therefore merged until enough people are in each (`federation/privacy/bins.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

LOGIT_LIMIT = 10
STEPS_PER_UNIT = 64
EDGES = np.round(1 / (1 + np.exp(-np.arange(-LOGIT_LIMIT * STEPS_PER_UNIT, LOGIT_LIMIT * STEPS_PER_UNIT + 1) / 64)), 9)
"""The 1,281 thresholds on the grid, ascending; bin b contains EDGES[b − 1] ≤ probability < EDGES[b]."""
BINS = len(EDGES) + 1
MAX_COUNT = 10**7
"""The most scans that a bin may hold: more than any hospital has."""
_NAMES = frozenset(str(index) for index in range(BINS))
MIDDLE_LOGITS = np.clip((np.arange(BINS) - 0.5) / STEPS_PER_UNIT - LOGIT_LIMIT, -LOGIT_LIMIT, LOGIT_LIMIT)
"""(BINS,) the logit at the centre of each bin; for the two open ones at the ends, the limit."""


@dataclass(frozen=True)
class Grid:
    """The grid that counts refer to."""

    logit_limit: int
    steps_per_unit: int


GRID = Grid(LOGIT_LIMIT, STEPS_PER_UNIT)
"""The grid of this version; every summary names its grid."""


def grid_counts(probabilities: np.ndarray) -> np.ndarray:
    """Count the (n,) probabilities in each bin: (BINS,) int64."""
    return np.bincount(np.searchsorted(EDGES, probabilities, side="right"), minlength=BINS)


def to_sparse(counts: np.ndarray) -> dict[str, int]:
    """Return the non-empty bins as JSON: bin → count."""
    return {str(index): int(counts[index]) for index in np.flatnonzero(counts)}


def from_sparse(counts: Mapping[str, int]) -> np.ndarray:
    """Return the (BINS,) counts from `to_sparse`. Raises `ValueError` for an impossible bin or count."""
    dense = np.zeros(BINS, dtype=np.int64)
    for index, count in counts.items():
        if index not in _NAMES or int(count) != count or not 0 <= count <= MAX_COUNT:
            raise ValueError(f"bin {index[:20]} with count {count} is not on the grid of {BINS} bins")
        dense[int(index)] = count
    return dense


def auc_error_bound(negatives: np.ndarray, positives: np.ndarray) -> float:
    """Return an upper bound on the error of the AUC from (BINS,) counts compared with that of the probabilities."""
    return float(np.sum(negatives * positives) / (2 * negatives.sum() * positives.sum()))
