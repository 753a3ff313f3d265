"""Probabilities counted on a fixed grid, so that sites can be added up without their predictions.

The grid is even in the logit (steps of 1/64 from −10 to 10), because fine-tuned networks crowd their probabilities near
0 and 1. A step is at most 0.004 in probability, at 0.5, and shrinks towards the ends. A threshold is an edge of the
grid, so the confusion counts at it are exact. An AUC from the grid counts pairs inside one bin as half right, so it
errs by at most half the share of such pairs, which `auc_error_bound` gives for the counts at hand.

Counts hold no name, but at a small site they are its rounded probabilities per class.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

LOGIT_LIMIT = 10
STEPS_PER_UNIT = 64
EDGES = np.round(1 / (1 + np.exp(-np.arange(-LOGIT_LIMIT * STEPS_PER_UNIT, LOGIT_LIMIT * STEPS_PER_UNIT + 1) / 64)), 9)
"""The 1,281 thresholds on the grid, rising; bin b holds EDGES[b − 1] ≤ probability < EDGES[b]."""
BINS = len(EDGES) + 1
MIDDLE_LOGITS = np.clip((np.arange(BINS) - 0.5) / STEPS_PER_UNIT - LOGIT_LIMIT, -LOGIT_LIMIT, LOGIT_LIMIT)
"""(BINS,) the logit in the middle of each bin; the two open ones at the ends stand at the limit."""


@dataclass(frozen=True)
class Grid:
    """The grid that counts refer to."""

    logit_limit: int
    steps_per_unit: int


GRID = Grid(LOGIT_LIMIT, STEPS_PER_UNIT)
"""The grid of this version; every summary states its own."""


def grid_counts(probabilities: np.ndarray) -> np.ndarray:
    """(BINS,) int64: how many of the (n,) probabilities fall into each bin."""
    return np.bincount(np.searchsorted(EDGES, probabilities, side="right"), minlength=BINS)


def to_sparse(counts: np.ndarray) -> dict[str, int]:
    """The bins that hold anything, as JSON: bin → count."""
    return {str(index): int(counts[index]) for index in np.flatnonzero(counts)}


def from_sparse(counts: Mapping[str, int]) -> np.ndarray:
    """The (BINS,) counts behind `to_sparse`. Raises ValueError on a bin or a count that cannot be."""
    dense = np.zeros(BINS, dtype=np.int64)
    for index, count in counts.items():
        if not 0 <= int(index) < BINS or int(count) != count or count < 0:
            raise ValueError(f"bin {index} with count {count} is not on the grid of {BINS} bins")
        dense[int(index)] = count
    return dense


def auc_error_bound(negatives: np.ndarray, positives: np.ndarray) -> float:
    """The most by which the AUC from (BINS,) counts can differ from the AUC of the probabilities behind them."""
    return float(np.sum(negatives * positives) / (2 * negatives.sum() * positives.sum()))
