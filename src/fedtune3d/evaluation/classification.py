"""Sensitivity, specificity and balanced accuracy at a threshold, from counts on the grid."""

from dataclasses import dataclass

import numpy as np

from fedtune3d.evaluation.confusion import NO_SCANS, NO_THRESHOLD, WILSON, Confusion, Fraction
from fedtune3d.evaluation.estimate import FEW, Estimate, defined, undefined
from fedtune3d.evaluation.intervals import mean_interval, wilson

BALANCED = "mean of sensitivity and specificity, Wilson limits combined by MOVER"


@dataclass(frozen=True)
class OperatingPoint:
    """Classification performance at a threshold."""

    balanced_accuracy: Estimate
    sensitivity: Estimate
    specificity: Estimate


def operating_point(
    negatives: np.ndarray,
    positives: np.ndarray,
    participants: tuple[int, int],
    threshold: float | None,
    why_none: str = NO_THRESHOLD,
) -> OperatingPoint:
    """Compute the operating point at a threshold on the grid; a scan is positive at or above it.

    Sensitivity and specificity are shares of scans; their interval is Wilson's with the number of participants of that
    class as n, which is conservative if participants have several scans. Balanced accuracy is their mean; as the two
    are independent, its interval follows from theirs (MOVER, see `mean_interval`).

    Args:
        negatives: (BINS,) test counts from `grid.grid_counts`.
        positives: The same for the positive class.
        participants: Numbers of participants with a negative scan and with a positive scan.
        threshold: A value in `grid.EDGES`; if None, all estimates are undefined.
        why_none: Why there is no threshold, if there is none.
    """
    if threshold is None:
        nothing = undefined(why_none)
        return OperatingPoint(balanced_accuracy=nothing, sensitivity=nothing, specificity=nothing)
    confusion = Confusion.at(negatives, positives, threshold)
    if confusion.scans == 0:
        nothing = undefined(NO_SCANS)
        return OperatingPoint(balanced_accuracy=nothing, sensitivity=nothing, specificity=nothing)
    specificity = _share(confusion.specificity, participants[0], "negative")
    sensitivity = _share(confusion.sensitivity, participants[1], "positive")
    return OperatingPoint(
        balanced_accuracy=_balanced(sensitivity, specificity), sensitivity=sensitivity, specificity=specificity
    )


def _share(correct: Fraction, participants: int, name: str) -> Estimate:
    if correct.total == 0:
        return undefined(f"no {name} test scans")
    share = correct.count / correct.total
    return defined(share, wilson(share, participants), WILSON, few=participants < FEW)


def _balanced(sensitivity: Estimate, specificity: Estimate) -> Estimate:
    both = (sensitivity, specificity)
    limits = [part.limits for part in both if part.limits is not None]
    if len(limits) < len(both):
        return undefined(next(part.undefined for part in both if part.undefined is not None))
    values, lows, highs = zip(*limits, strict=True)
    return defined(sum(values) / 2, mean_interval(values, lows, highs), BALANCED, few=any(part.mark for part in both))
