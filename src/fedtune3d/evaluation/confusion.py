"""The 2×2 table of test scans by class and verdict at a threshold, and accuracy."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from fedtune3d.evaluation.estimate import FEW, Estimate, defined, undefined
from fedtune3d.evaluation.grid import EDGES
from fedtune3d.evaluation.intervals import wilson

NO_THRESHOLD = "no threshold: a class has no validation scans"
NO_SCANS = "no test scans, or too few for the policy"
WILSON = "Wilson, by participants"


@dataclass(frozen=True)
class Fraction:
    """`count` of `total` scans."""

    count: int
    total: int

    def __str__(self) -> str:
        return f"{self.count}/{self.total}"


@dataclass(frozen=True)
class Confusion:
    """Numbers of test scans; a scan is called positive at or above the threshold."""

    true_positives: int
    false_negatives: int
    true_negatives: int
    false_positives: int

    @classmethod
    def at(cls, negatives: np.ndarray, positives: np.ndarray, threshold: float) -> Self:
        """Count from (BINS,) counts per class, at a threshold in `grid.EDGES`; the counts there are exact."""
        edge = int(np.searchsorted(EDGES, threshold))
        return cls(
            true_positives=int(positives[edge + 1 :].sum()),
            false_negatives=int(positives[: edge + 1].sum()),
            true_negatives=int(negatives[: edge + 1].sum()),
            false_positives=int(negatives[edge + 1 :].sum()),
        )

    @property
    def sensitivity(self) -> Fraction:
        """Positive scans that are called positive."""
        return Fraction(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> Fraction:
        """Negative scans that are called negative."""
        return Fraction(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def positive_predictive_value(self) -> Fraction:
        """Scans called positive that are positive, at the share of positive scans in the test set."""
        return Fraction(self.true_positives, self.true_positives + self.false_positives)

    @property
    def negative_predictive_value(self) -> Fraction:
        """Scans called negative that are negative, at the share of positive scans in the test set."""
        return Fraction(self.true_negatives, self.true_negatives + self.false_negatives)

    @property
    def accuracy(self) -> Fraction:
        """Scans that are called what they are."""
        return Fraction(self.true_positives + self.true_negatives, self.scans)

    @property
    def scans(self) -> int:
        """All scans."""
        return self.sensitivity.total + self.specificity.total


def accuracy(confusion: Confusion | None, people: int, participants: tuple[int, int]) -> Estimate:
    """Estimate the share of scans that are called what they are, with Wilson's interval for `people` observations.

    Args:
        confusion: None without a threshold; then there is no accuracy.
        people: Number of people behind the scans.
        participants: Numbers of people with a negative scan and with a positive scan.
    """
    if confusion is None:
        return undefined(NO_THRESHOLD)
    if confusion.scans == 0:
        return undefined(NO_SCANS)
    share = confusion.accuracy.count / confusion.accuracy.total
    return defined(share, wilson(share, people), WILSON, few=min(participants) < FEW)
