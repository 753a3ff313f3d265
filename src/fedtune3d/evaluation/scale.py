"""Counts of several sites' test scans on one ascending scale: their probabilities if shared, else the grid."""

from collections.abc import Sequence

import numpy as np

from fedtune3d.evaluation.checked_summary import CheckedSummary
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.sample import FROM_COUNTS, FROM_PREDICTIONS


def finest_counts(summaries: Sequence[CheckedSummary]) -> tuple[list[np.ndarray], str]:
    """Count the test scans of each site by class, on the finest scale that is available for all sites.

    Returns:
        For each summary, (2, bins) int64 counts of negatives and positives on bins ascending in probability: one bin
        per distinct probability if all sites share predictions, so that ranks are exact, else the `BINS` of the grid.
        And their source, `FROM_PREDICTIONS` or `FROM_COUNTS`.
    """
    if any(summary.predictions is None and summary.test.scans for summary in summaries):
        return [summary.test_counts for summary in summaries], FROM_COUNTS
    probabilities = [summary.predictions.probabilities for summary in summaries if summary.predictions is not None]
    values = np.unique(np.concatenate(probabilities)) if probabilities else np.empty(0)
    return [_counts(summary.predictions, values) for summary in summaries], FROM_PREDICTIONS


def _counts(predictions: Predictions | None, values: np.ndarray) -> np.ndarray:
    counts = np.zeros((2, len(values)), dtype=np.int64)
    if predictions is not None:
        np.add.at(counts, (predictions.labels, np.searchsorted(values, predictions.probabilities)), 1)
    return counts
