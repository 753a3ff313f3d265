"""The summary of its predicted numbers that a site sends, without names.

The site's policy decides whether the test predictions leave; otherwise, only sums over people do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from fedtune3d.evaluation.regression.coarse import coarse_step
from fedtune3d.evaluation.regression.groups import NumberAxis, summarise_number_groups
from fedtune3d.evaluation.regression.joint_sums import JointSums
from fedtune3d.evaluation.regression.measures import spearman_correlation
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.number_sums import NumberSums
from fedtune3d.evaluation.regression.paired import ErrorComparison, paired_errors
from fedtune3d.evaluation.regression.residual_bins import ResidualBin, residual_bins
from fedtune3d.evaluation.regression.variances import VarianceRatios
from fedtune3d.evaluation.subgroups import Axes

VERSION = 1

Limits = tuple[float, float]
"""The target's range in its unit. Sums are of numbers minus its middle."""


@dataclass(frozen=True)
class SharedNumbers:
    """Test scans whose numbers leave the site, sorted by prediction.

    Attributes:
        participants: (n,) a number per person, in the order of their first scan, unrelated to names.
        truth: (n,) true numbers.
        predicted: (n,) predicted numbers, ascending.
    """

    participants: tuple[int, ...]
    truth: tuple[float, ...]
    predicted: tuple[float, ...]

    @classmethod
    def of(cls, test: NumberPredictions) -> Self:
        """Create the rows of `test` with opaque participant numbers in the order of predictions, not of names."""
        order = np.lexsort((test.participant_codes(), test.truth, test.predicted))
        numbers: dict[str, int] = {}
        return cls(
            tuple(numbers.setdefault(test.participants[row], len(numbers)) for row in order),
            tuple(test.truth[order].tolist()),
            tuple(test.predicted[order].tolist()),
        )

    def predictions(self) -> NumberPredictions:
        """Return the rows as predictions, named by the numbers. Raises `ValueError` if they are invalid."""
        names = tuple(f"{number:09d}" for number in self.participants)
        return NumberPredictions(names, ("",) * len(names), np.array(self.truth), np.array(self.predicted))


@dataclass(frozen=True)
class NumberValidation:
    """A site's validation scans, to which the correction for regression to the mean is fitted.

    Attributes:
        version: Version of this format.
        limits: The target's range.
        validation: Sums of validation scans.
    """

    version: int
    limits: Limits
    validation: JointSums

    @property
    def reference(self) -> float:
        """The number that others are taken minus."""
        return middle(self.limits)


@dataclass(frozen=True)
class NumberSummary(NumberValidation):
    """Everything that leaves a site after the evaluation of a model that predicts a number.

    Attributes:
        test: Sums of test scans.
        ratios: How far the variances of the site's measures are from those under normality; None if they are undefined.
        spearman: Correlation of ranks of the site's test scans; None if it is undefined.
        residuals: Sums of errors by range of the true number.
        groups: Axis → the groups that are large enough to leave.
        against_federated: The federated model's mean absolute error minus this model's on the same scans; None for that
            model.
        predictions: The predictions; None if the site's policy does not let them leave.
    """

    test: NumberSums
    ratios: VarianceRatios | None
    spearman: float | None
    residuals: tuple[ResidualBin, ...]
    groups: Mapping[str, NumberAxis]
    against_federated: ErrorComparison | None
    predictions: SharedNumbers | None


def middle(limits: Limits) -> float:
    """Return the middle of a range."""
    return (limits[0] + limits[1]) / 2


def summarise_numbers(
    validation: NumberPredictions,
    test: NumberPredictions,
    limits: Limits,
    share_predictions: bool,
    min_people: int = 1,
    federated: NumberPredictions | None = None,
    axes: Axes | None = None,
    min_in_group: int = 1,
) -> NumberSummary:
    """Summarise a site's predicted numbers.

    Args:
        validation: Validation scans. May be empty, as may those of the test.
        test: Test scans.
        limits: The target's range.
        share_predictions: Whether test predictions and true numbers leave.
        min_people: Fewest people behind the sums of a range of the true number. Above 1, sums are coarse (`coarse`)
            unless predictions leave.
        federated: The federated model's predictions of the same test scans, to compare a baseline with.
        axes: The group of each test scan by axis, such as sex.
        min_in_group: Fewest people in a group that leaves.
    """
    step = 0.0 if share_predictions or min_people == 1 else coarse_step(limits)
    return NumberSummary(
        version=VERSION,
        limits=limits,
        validation=JointSums.of(validation, middle(limits)),
        test=NumberSums.of(test, middle(limits), step),
        ratios=VarianceRatios.of(test),
        spearman=spearman_correlation(test),
        residuals=residual_bins(test, limits, 1 if share_predictions else min_people),
        groups=summarise_number_groups(test, axes or {}, min_in_group, step),
        against_federated=None if federated is None else paired_errors(federated, test, step),
        predictions=SharedNumbers.of(test) if share_predictions else None,
    )


def summarise_number_validation(validation: NumberPredictions, limits: Limits) -> NumberValidation:
    """Summarise validation scans only."""
    return NumberValidation(VERSION, limits, JointSums.of(validation, middle(limits)))
