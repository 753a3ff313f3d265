"""The sums over test scans that a site sends, from which the measures of predicted numbers follow."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from fedtune3d.evaluation.cluster_sums import ClusterSums
from fedtune3d.evaluation.regression.joint_sums import JointSums, require_possible_joint
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions


@dataclass(frozen=True)
class NumberSums:
    """Sums of test scans.

    Attributes:
        joint: Sums of true and predicted numbers.
        error: Sums of predicted minus true numbers, by person.
        absolute_error: Sums of its absolute value.
        squared_error: Sums of its square.
    """

    joint: JointSums
    error: ClusterSums
    absolute_error: ClusterSums
    squared_error: ClusterSums

    @classmethod
    def of(cls, predictions: NumberPredictions, reference: float) -> Self:
        """Sum over the scans of `predictions`; numbers themselves are taken minus `reference`."""
        errors, codes = predictions.errors, predictions.participant_codes()
        return cls(
            joint=JointSums.of(predictions, reference),
            error=ClusterSums.of(errors, codes),
            absolute_error=ClusterSums.of(abs(errors), codes),
            squared_error=ClusterSums.of(errors**2, codes),
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


def require_possible_numbers(sums: NumberSums) -> None:
    """Check the sums that a site sent. Raises `ValueError` if they contradict each other."""
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
    if not abs(sums.error.total) <= sums.absolute_error.total + slack:
        raise ValueError("the sum of absolute errors is smaller than that of errors")
    if sums.absolute_error.total**2 > sums.error.scans * (sums.squared_error.total + slack):
        raise ValueError("the sum of absolute errors is too great for that of squared ones")
    for part in clusters:
        if part.squared_total < 0 or part.total**2 > part.people * (part.squared_total + slack**2):
            raise ValueError(f"a sum of squares by person of {part.squared_total:g}, which is too small")
