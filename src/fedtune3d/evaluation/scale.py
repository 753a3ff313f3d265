"""Test scans of several sites counted on one rising scale: their own probabilities where these left, else the grid."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.sample import FROM_COUNTS, FROM_PREDICTIONS


def finest_counts(summaries: Sequence[Mapping[str, Any]]) -> tuple[list[np.ndarray], str]:
    """The test scans of each site by class, and what they are counted from.

    Args:
        summaries: Of `summary.read_summary`.

    Returns:
        For each summary (2, bins) int64 counts of negatives and positives, on bins that rise with the probability: one
        for each distinct probability of these sites where all predictions left, so that ranks are exact, else `BINS`
        of the grid. And `FROM_PREDICTIONS` or `FROM_COUNTS`.
    """
    if any(summary["predictions"] is None and summary["scans"] for summary in summaries):
        return [summary["test_counts"] for summary in summaries], FROM_COUNTS
    having = [summary["predictions"] for summary in summaries if summary["scans"]]
    values = np.unique(np.concatenate([part.probabilities for part in having])) if having else np.empty(0)
    return [_counts(summary["predictions"], values) for summary in summaries], FROM_PREDICTIONS


def _counts(predictions: Predictions | None, values: np.ndarray) -> np.ndarray:
    counts = np.zeros((2, len(values)), dtype=np.int64)
    if predictions is not None:
        np.add.at(counts, (predictions.labels, np.searchsorted(values, predictions.probabilities)), 1)
    return counts
