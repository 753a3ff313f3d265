"""The summary that a site sends of its predictions, without names.

Whether the test probabilities themselves leave is the site's policy; where they stay, counts on a grid stand in.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.seeds import numpy_rng
from fedtune3d._utils.typed_json import from_json
from fedtune3d.evaluation.auc import auc_estimate
from fedtune3d.evaluation.calibration import Calibration, calibration
from fedtune3d.evaluation.class_counts import ClassCounts
from fedtune3d.evaluation.delong import delong_estimate
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.grid import GRID, Grid
from fedtune3d.evaluation.groups import Axes, AxisCounts, summarise_groups
from fedtune3d.evaluation.predictions import Predictions, participants_by_class
from fedtune3d.evaluation.sample import Sample

VERSION = 3
MIN_PER_CLASS = 5


@dataclass(frozen=True)
class SharedPredictions:
    """Test scans whose probabilities leave the site, sorted by probability.

    Attributes:
        participants: (n,) a number for each person, in the order of their first scan; it follows no name.
        labels: (n,) 0 or 1.
        probabilities: (n,) of the positive class.
    """

    participants: tuple[int, ...]
    labels: tuple[int, ...]
    probabilities: tuple[float, ...]

    @classmethod
    def of(cls, test: Predictions) -> Self:
        """The rows of `test` under opaque numbers that follow the probabilities, not the names."""
        order = np.lexsort((test.participant_codes(), test.labels, test.probabilities))
        numbers: dict[str, int] = {}
        return cls(
            tuple(numbers.setdefault(test.participants[row], len(numbers)) for row in order),
            tuple(test.labels[order].tolist()),
            tuple(test.probabilities[order].tolist()),
        )

    def predictions(self) -> Predictions:
        """The rows with names made of the numbers. Raises ValueError where they are no predictions."""
        names = tuple(f"{number:09d}" for number in self.participants)
        return Predictions(names, ("",) * len(names), np.array(self.labels, int), np.array(self.probabilities, float))


@dataclass(frozen=True)
class TestSummary:
    """The test scans of a site.

    Attributes:
        participants: People.
        participants_by_class: People with a negative scan, and people with a positive one.
        scans: Scans.
        positives: Positive scans.
        auc: AUC with its interval by resampling people (see `auc.auc_estimate`).
        auc_delong: AUC with the interval of DeLong or Obuchowski.
        calibration: Slope, intercept, Brier score and calibration error.
        counts: Scans per class on the grid.
        groups: Axis → the groups that are large enough to leave.
        predictions: None where the site's policy keeps them.
    """

    __test__ = False  # no test case, though its name begins so

    participants: int
    participants_by_class: tuple[int, int]
    scans: int
    positives: int
    auc: Estimate
    auc_delong: Estimate
    calibration: Calibration
    counts: ClassCounts
    groups: Mapping[str, AxisCounts]
    predictions: SharedPredictions | None


@dataclass(frozen=True)
class ValidationSummary:
    """The validation scans of a site, from which thresholds are chosen.

    Attributes:
        version: Of this format.
        grid: The grid that all counts refer to.
        validation: Scans per class on the grid.
    """

    version: int
    grid: Grid
    validation: ClassCounts


@dataclass(frozen=True)
class Summary(ValidationSummary):
    """All that leaves a site after evaluation of one model."""

    test: TestSummary


def summarise(
    validation: Predictions,
    test: Predictions,
    seed: int,
    share_predictions: bool,
    axes: Axes | None = None,
    min_per_class: int = MIN_PER_CLASS,
) -> Summary:
    """Summarise a site's predictions.

    Args:
        validation: For the thresholds. May be empty or of one class.
        test: For everything else. May be empty or of one class: an undefined estimate then gives the reason.
        seed: Of the bootstrap.
        share_predictions: Whether test probabilities and labels leave.
        axes: The group of each test scan by axis, such as sex; see `groups.summarise_groups`.
        min_per_class: The fewest people of either class in a group whose counts leave.
    """
    summary = TestSummary(
        participants=len(set(test.participants)),
        participants_by_class=participants_by_class(test),
        scans=len(test),
        positives=int(test.labels.sum()),
        auc=auc_estimate(test, numpy_rng(seed, "site AUC")),
        auc_delong=delong_estimate(test),
        calibration=calibration(Sample.of_predictions(test)),
        counts=ClassCounts.of(test),
        groups=summarise_groups(test, axes or {}, min_per_class),
        predictions=SharedPredictions.of(test) if share_predictions else None,
    )
    return Summary(VERSION, GRID, ClassCounts.of(validation), summary)


def summarise_validation(validation: Predictions) -> ValidationSummary:
    """Summarise validation scans alone."""
    return ValidationSummary(VERSION, GRID, ClassCounts.of(validation))


def pool_validation(parts: Iterable[ValidationSummary]) -> ClassCounts:
    """The validation counts of several sites together."""
    return ClassCounts.total(part.validation for part in parts)


def read_summary(site: str, value: object) -> Summary:
    """The summary of a site, from JSON. Raises `InputError`, which names the site, where it is none."""
    try:
        return from_json(Summary, value)
    except ValueError as error:
        raise InputError(
            f"summary of site {site}: expected version {VERSION} ({error}); run the same fedtune3d at all sites"
        ) from error
