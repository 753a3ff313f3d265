"""Log loss and Brier score of several classes."""

import numpy as np
from numpy.typing import NDArray

from fedtune3d.evaluation.brier import METHOD, unit_interval
from fedtune3d.evaluation.cluster_sums import ClusterSums
from fedtune3d.evaluation.confusion import NO_SCANS
from fedtune3d.evaluation.estimate import Estimate, defined, undefined
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions

SMALLEST = float(np.finfo(np.float64).eps)
"""Probability below which none is taken, as a scan of a class with a probability of 0 would have an infinite loss."""
GREATEST_LOG_LOSS = float(-np.log(SMALLEST))
GREATEST_BRIER = 2.0
CLUSTERED = "mean over scans, people as clusters"


def log_losses(predictions: ClassPredictions) -> ClusterSums:
    """Sum −log p over scans and people, with p the probability of the scan's own class, at least `SMALLEST`.

    References:
        Good, 1952, J. R. Stat. Soc. B 14:107–114.
    """
    return ClusterSums.of(-np.log(np.maximum(predictions.of_true_classes(), SMALLEST)), predictions.participant_codes())


def brier_losses(predictions: ClassPredictions) -> ClusterSums:
    """Sum Σₖ (pₖ − yₖ)² over scans and people: from 0 to 2, and for two classes twice the Brier score of one of them.

    References:
        Brier, 1950, Mon. Weather Rev. 78:1–3, eq. 2.
    """
    truth: NDArray[np.float64] = np.eye(predictions.classes)[predictions.truth]
    return ClusterSums.of(((predictions.probabilities - truth) ** 2).sum(axis=1), predictions.participant_codes())


def log_loss(sums: ClusterSums, few: bool) -> Estimate:
    """Estimate the log loss with a t interval on its logarithm."""
    measure = sums.measure
    return _too_few(sums) if measure is None else measure.estimate("log", CLUSTERED, few)


def brier_score(sums: ClusterSums, few: bool) -> Estimate:
    """Estimate the Brier score of several classes, from 0 to 2, with the interval of `brier.unit_interval`, doubled."""
    measure = sums.measure
    if measure is None:
        return _too_few(sums)
    low, high = unit_interval(measure.value / GREATEST_BRIER, measure.variance / GREATEST_BRIER**2, sums.people)
    return defined(measure.value, (GREATEST_BRIER * low, GREATEST_BRIER * high), METHOD, few)


def _too_few(sums: ClusterSums) -> Estimate:
    return undefined("fewer than two people" if sums.people else NO_SCANS)
