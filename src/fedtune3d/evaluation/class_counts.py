"""Counts of scans per class on the grid, in the form that leaves a site."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from fedtune3d.evaluation.grid import from_sparse, grid_counts, to_sparse
from fedtune3d.evaluation.predictions import Predictions


@dataclass(frozen=True)
class ClassCounts:
    """Scans per bin of the grid: bin → count for non-empty bins; see `grid.to_sparse`."""

    negative: Mapping[str, int]
    positive: Mapping[str, int]

    @classmethod
    def of(cls, predictions: Predictions) -> Self:
        """Count all scans in `predictions`."""
        negative, positive = (grid_counts(predictions.probabilities[predictions.labels == label]) for label in (0, 1))
        return cls(to_sparse(negative), to_sparse(positive))

    @classmethod
    def total(cls, parts: Iterable[Self]) -> Self:
        """Add several counts."""
        negative, positive = np.sum([part.dense() for part in parts], axis=0)
        return cls(to_sparse(negative), to_sparse(positive))

    def dense(self) -> np.ndarray:
        """Return (2, BINS) int64 counts, negatives first. Raises `ValueError` if a bin or a count is impossible."""
        return np.stack([from_sparse(self.negative), from_sparse(self.positive)])


CountScans = Callable[[Predictions], ClassCounts]
"""A way to count scans: `ClassCounts.of`, or a coarser one."""
