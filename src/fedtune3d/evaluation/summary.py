"""The summary of its predictions that a site sends, without names.

The site's policy decides whether the test probabilities leave; otherwise, only their counts on a grid do.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.evaluation.auc_estimate import AucInterval, auc_estimate, variance_of
from fedtune3d.evaluation.calibration import Calibration, calibration
from fedtune3d.evaluation.class_counts import ClassCounts, CountScans
from fedtune3d.evaluation.delong import delong_estimate
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.grid import GRID, Grid
from fedtune3d.evaluation.groups import AxisCounts, summarise_groups
from fedtune3d.evaluation.membership import MembershipAttack
from fedtune3d.evaluation.paired import Comparison, paired_delong
from fedtune3d.evaluation.predictions import Predictions, participants_by_class
from fedtune3d.evaluation.sample import Sample
from fedtune3d.evaluation.subgroups import Axes

VERSION = 4
MIN_PER_CLASS = 5


@dataclass(frozen=True)
class SharedPredictions:
    """Test scans whose probabilities leave the site, sorted by probability.

    Attributes:
        participants: (n,) a number per person, in the order of their first scan, unrelated to names.
        labels: (n,) 0 or 1.
        probabilities: (n,) probability of the positive class.
    """

    participants: tuple[int, ...]
    labels: tuple[int, ...]
    probabilities: tuple[float, ...]

    @classmethod
    def of(cls, test: Predictions) -> Self:
        """Create the rows of `test` with opaque participant numbers in the order of probabilities, not of names."""
        order = np.lexsort((test.participant_codes(), test.labels, test.probabilities))
        numbers: dict[str, int] = {}
        return cls(
            tuple(numbers.setdefault(test.participants[row], len(numbers)) for row in order),
            tuple(test.labels[order].tolist()),
            tuple(test.probabilities[order].tolist()),
        )

    def predictions(self) -> Predictions:
        """Return the rows as predictions, named by the numbers. Raises `ValueError` if they are invalid."""
        names = tuple(f"{number:09d}" for number in self.participants)
        return Predictions(names, ("",) * len(names), np.array(self.labels, int), np.array(self.probabilities, float))


@dataclass(frozen=True)
class TestSummary:
    """The test scans of a site.

    Attributes:
        participants: Number of people.
        participants_by_class: Numbers of people with a negative scan and with a positive scan.
        scans: Number of scans.
        positives: Number of positive scans.
        auc: AUC with its interval (see `auc_estimate.auc_estimate`).
        auc_variance_ratio: Ratio of `AucVariance`, from which the server makes the interval of the mean over sites;
            None without an AUC.
        auc_delong: AUC with DeLong's or Obuchowski's interval.
        calibration: Slope, intercept, Brier score and calibration error.
        counts: Scans per class on the grid.
        groups: Axis → the groups that are large enough to leave.
        predictions: The predictions; None if the site's policy does not let them leave.
        against_federated: The federated model's AUC minus this model's on the same scans; None for the federated model.
    """

    __test__ = False  # not a test class, despite its name

    participants: int
    participants_by_class: tuple[int, int]
    scans: int
    positives: int
    auc: Estimate
    auc_variance_ratio: float | None
    auc_delong: Estimate
    calibration: Calibration
    counts: ClassCounts
    groups: Mapping[str, AxisCounts]
    against_federated: Comparison | None
    predictions: SharedPredictions | None


@dataclass(frozen=True)
class ValidationSummary:
    """The validation scans of a site, from which thresholds are chosen.

    Attributes:
        version: Version of this format.
        grid: The grid of all counts.
        validation: Scans per class on the grid.
    """

    version: int
    grid: Grid
    validation: ClassCounts


@dataclass(frozen=True)
class Summary(ValidationSummary):
    """Everything that leaves a site after the evaluation of a model.

    Attributes:
        test: The test scans.
        membership: How well the model's loss tells training people from test people; None if the model was not trained
            on people of this site, if too few people are behind it, or in a summary of an earlier release.
    """

    test: TestSummary
    membership: MembershipAttack | None = None


def summarise(
    validation: Predictions,
    test: Predictions,
    seed: int,
    share_predictions: bool,
    axes: Axes | None = None,
    min_per_class: int = MIN_PER_CLASS,
    count: CountScans = ClassCounts.of,
    auc_interval: AucInterval = "score",
    federated: Predictions | None = None,
    membership: MembershipAttack | None = None,
) -> Summary:
    """Summarise a site's predictions.

    Args:
        validation: Validation scans, for the thresholds. May be empty or of one class.
        test: Test scans. May be empty or of one class; undefined estimates then give the reason.
        seed: Seed of the bootstrap.
        share_predictions: Whether test probabilities and labels leave.
        axes: The group of each test scan by axis, such as sex; see `groups.summarise_groups`.
        min_per_class: Minimum number of people of each class in a group whose counts leave.
        count: How scans are counted on the grid. Test probabilities that leave are counted as they are.
        auc_interval: How the interval of the AUC is made.
        federated: The federated model's predictions of the same test scans, to compare a baseline with.
        membership: The outcome of the attack on the model, if there was one.
    """
    variance = variance_of(test)
    summary = TestSummary(
        participants=len(set(test.participants)),
        participants_by_class=participants_by_class(test),
        scans=len(test),
        positives=int(test.labels.sum()),
        auc=auc_estimate(test, auc_interval, numpy_rng(seed, "site AUC")),
        auc_variance_ratio=None if variance is None else variance.ratio,
        auc_delong=delong_estimate(test),
        calibration=calibration(Sample.of_predictions(test)),
        counts=ClassCounts.of(test) if share_predictions else count(test),
        groups=summarise_groups(test, axes or {}, min_per_class, count),
        against_federated=None if federated is None else paired_delong(federated, test),
        predictions=SharedPredictions.of(test) if share_predictions else None,
    )
    return Summary(VERSION, GRID, count(validation), summary, membership)


def summarise_validation(validation: Predictions, count: CountScans = ClassCounts.of) -> ValidationSummary:
    """Summarise validation scans only."""
    return ValidationSummary(VERSION, GRID, count(validation))


def pool_validation(parts: Iterable[ValidationSummary]) -> ClassCounts:
    """Add the validation counts of several sites."""
    return ClassCounts.total(part.validation for part in parts)
