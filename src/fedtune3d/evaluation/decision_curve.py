"""Decision curve analysis: the net benefit of deciding by the model."""

from dataclasses import dataclass

import numpy as np

from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.sample import Sample

THRESHOLDS = np.round(np.arange(0.05, 0.951, 0.05), 2)
"""Threshold probabilities: at 0.2, one true positive is worth four false positives."""


@dataclass(frozen=True)
class DecisionPoint:
    """Net benefit per scan of the model and of treating all; that of treating none is 0."""

    threshold: float
    net_benefit: Estimate
    treat_all: float


def decision_curve(sample: Sample) -> tuple[DecisionPoint, ...]:
    """Compute the net benefit per threshold t: (true positives − false positives · t / (1 − t)) / n.

    A scan is positive at or above t. The net benefit applies to the prevalence in these scans, which in a case–control
    cohort is not that of the clinic. Empty if there are no scans. The intervals are normal, with participants as
    clusters.

    References:
        Vickers and Elkin, 2006, Med. Decis. Making 26:565–574.
    """
    if not sample.scans:
        return ()
    share = float(sample.weights @ sample.labels / sample.scans)
    points = []
    for threshold in THRESHOLDS.tolist():
        odds = threshold / (1 - threshold)
        utility = np.where(sample.labels == 1, 1.0, -odds) * (sample.probabilities >= threshold)
        benefit = sample.mean(utility, "normal interval, participants as clusters")
        points.append(DecisionPoint(threshold=threshold, net_benefit=benefit, treat_all=share - (1 - share) * odds))
    return tuple(points)
