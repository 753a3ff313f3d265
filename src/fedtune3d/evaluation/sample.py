"""Probabilities and labels for statistics other than the AUC: from single predictions, or from counts on the grid."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from fedtune3d.evaluation.estimate import FEW, Estimate, Z, defined
from fedtune3d.evaluation.grid import BINS, LOGIT_LIMIT, MIDDLE_LOGITS
from fedtune3d.evaluation.predictions import Predictions, participants_by_class

FROM_PREDICTIONS = "from predictions"
FROM_COUNTS = "from counts on a grid"


@dataclass(frozen=True)
class Sample:
    """Weighted rows of scans.

    Attributes:
        logits: (rows,) log-odds of the positive class, clipped to ±`LOGIT_LIMIT`.
        labels: (rows,) 0 or 1.
        weights: (rows,) number of scans.
        codes: (rows,) participant of each row; None if not known.
        participants: Numbers of people with a negative scan and with a positive scan.
        people: Number of people.
    """

    logits: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    codes: np.ndarray | None
    participants: tuple[int, int]
    people: int

    @classmethod
    def of_predictions(cls, predictions: Predictions) -> Self:
        """Create a sample with one row per scan."""
        with np.errstate(divide="ignore"):
            logits = np.log(predictions.probabilities) - np.log1p(-predictions.probabilities)
        codes = predictions.participant_codes()
        return cls(
            np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT),
            predictions.labels.astype(float),
            np.ones(len(predictions)),
            codes,
            participants_by_class(predictions),
            len(set(predictions.participants)),
        )

    @classmethod
    def of_counts(cls, counts: np.ndarray, participants: tuple[int, int], people: int) -> Self:
        """Create a sample with one row per class and non-empty bin of (2, BINS) counts, at the bin's centre."""
        used = counts.reshape(-1) > 0
        return cls(
            np.tile(MIDDLE_LOGITS, 2)[used],
            np.repeat([0.0, 1.0], BINS)[used],
            counts.reshape(-1)[used].astype(float),
            None,
            participants,
            people,
        )

    @property
    def probabilities(self) -> np.ndarray:
        """(rows,) in (0, 1)."""
        probabilities: np.ndarray = 1 / (1 + np.exp(-self.logits))
        return probabilities

    @property
    def scans(self) -> int:
        """Number of scans."""
        return round(float(self.weights.sum()))

    @property
    def deviation(self) -> float:
        """The standard deviation of the logits."""
        return float(np.sqrt(self.weights @ (self.logits - self.weights @ self.logits / self.scans) ** 2 / self.scans))

    @property
    def several_scans(self) -> bool:
        """True if a person has several scans, so that scans are not independent."""
        return self.scans > self.people

    @property
    def few(self) -> bool:
        """True if a class has fewer than `FEW` people."""
        return min(self.participants) < FEW

    @property
    def source(self) -> str:
        """The source of the numbers, for the method of an estimate."""
        return FROM_COUNTS if self.codes is None else FROM_PREDICTIONS

    def people_among(self, rows: np.ndarray) -> float:
        """Count the people in the selected rows; if participants are not known, in proportion to scans."""
        if self.codes is None:
            return float(self.weights[rows].sum() * self.people / self.scans)
        return len(np.unique(self.codes[rows]))

    def mean(self, values: np.ndarray, method: str) -> Estimate:
        """Estimate the mean over scans of (rows,) values with its normal interval, with participants as clusters.

        If participants are not known and have several scans, the interval is conservative: it treats a person's scans
        as copies of one another.
        """
        mean = float(self.weights @ values / self.scans)
        half_width = Z * math.sqrt(self.variance_of_sum(values - mean)) / self.scans
        return defined(mean, (mean - half_width, mean + half_width), f"{method}; {self.source}", self.few)

    def variance_of_sum(self, deviations: np.ndarray) -> float:
        """The variance of the sum over scans of (rows,) deviations from 0, participants as clusters.

        It carries the factor I / (I − 1) for I people. Where participants are not known and have several scans, it is
        on the wide side, as if a person's scans were copies of one another.
        """
        if self.codes is None:
            return float(self.weights @ deviations**2) * self.scans / max(1, self.people - 1)
        sums = np.bincount(self.codes, weights=deviations)
        return float(sums @ sums) * self.people / max(1, self.people - 1)
