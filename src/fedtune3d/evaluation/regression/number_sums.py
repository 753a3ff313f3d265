"""The sums over test scans that a site sends, from which the measures of predicted numbers follow."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from fedtune3d.evaluation.cluster_sums import ClusterSums
from fedtune3d.evaluation.regression.coarse import coarse_totals, without_spread
from fedtune3d.evaluation.regression.joint_sums import JointSums, require_possible_joint
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions

HALF_OCTAVE = 1.19
"""How many times greater than a number rounded to half octaves the exact one may be."""


@dataclass(frozen=True)
class NumberSums:
    """Sums of test scans.

    Attributes:
        joint: Sums of true and predicted numbers.
        error: Sums of predicted minus true numbers, by person.
        absolute_error: Sums of its absolute value; coarse where predictions stay at a site.
        squared_error: Sums of its square; the spread of it is 0 where predictions stay at a site.
    """

    joint: JointSums
    error: ClusterSums
    absolute_error: ClusterSums
    squared_error: ClusterSums

    @classmethod
    def of(cls, predictions: NumberPredictions, reference: float, step: float = 0.0) -> Self:
        """Sum over the scans of `predictions`; numbers themselves are taken minus `reference`.

        With a `step`, sums that would tell more than those of numbers and of their squares are rounded (`coarse`).
        """
        errors, codes = predictions.errors, predictions.participant_codes()
        absolute, squared = ClusterSums.of(abs(errors), codes), ClusterSums.of(errors**2, codes)
        return cls(
            joint=JointSums.of(predictions, reference),
            error=ClusterSums.of(errors, codes),
            absolute_error=coarse_totals(absolute, step),
            squared_error=without_spread(squared, step),
        )

    @classmethod
    def pooled(cls, parts: Sequence[Self]) -> Self:
        """Add the sums of several sites."""
        return cls(
            joint=JointSums.pooled(part.joint for part in parts),
            error=ClusterSums.pooled(part.error for part in parts),
            absolute_error=ClusterSums.pooled(part.absolute_error for part in parts),
            squared_error=ClusterSums.pooled(part.squared_error for part in parts),
        )


def require_possible_numbers(sums: NumberSums, rounding: float = 0.0) -> None:
    """Check the sums that a site sent. Raises `ValueError` if they contradict each other.

    Args:
        sums: The sums.
        rounding: How far the sum of absolute errors may be from the exact one; above 0, sums of squares by person may
            be rounded to half octaves.
    """
    require_possible_joint(sums.joint)
    clusters = (sums.error, sums.absolute_error, sums.squared_error)
    sizes = {(part.people, part.scans, part.squared_scans) for part in clusters}
    if len(sizes) != 1 or (sums.error.people, sums.error.scans) != (sums.joint.people, sums.joint.scans):
        raise ValueError(f"sums over different scans or people: {sorted(sizes)}")
    slack = 1e-6 * (1 + sums.joint.truth_squared + sums.joint.predicted_squared)
    if abs(sums.error.total - (sums.joint.predicted - sums.joint.truth)) > slack:
        raise ValueError("the sum of errors is not the sum of predicted minus that of true numbers")
    if abs(sums.squared_error.total - sums.joint.error_squared) > slack:
        raise ValueError("the sum of squared errors contradicts the sums of squares and products")
    if not abs(sums.error.total) <= sums.absolute_error.total + rounding + slack:
        raise ValueError("the sum of absolute errors is smaller than that of errors")
    fewest = max(0.0, sums.absolute_error.total - rounding)
    if fewest**2 > sums.error.scans * (sums.squared_error.total + slack):
        raise ValueError("the sum of absolute errors is too great for that of squared ones")
    digits = HALF_OCTAVE if rounding else 1.0
    for part, total in zip(clusters, (sums.error.total, fewest, sums.squared_error.total), strict=True):
        if part.squared_total < 0 or total**2 > part.people * (digits * part.squared_total + slack**2):
            raise ValueError(f"a sum of squares by person of {part.squared_total:g}, which is too small")
