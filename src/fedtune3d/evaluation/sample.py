"""Probabilities and labels as the statistics beside the AUC take them: a site's own rows, or counts on the grid."""

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
    """Scans, as many of each row as `weights` says.

    Attributes:
        logits: (rows,) log-odds of the positive class, cut at ±`LOGIT_LIMIT`.
        labels: (rows,) 0 or 1.
        weights: (rows,) scans.
        codes: (rows,) participant of each row, or None where it is not known.
        participants: How many people have a negative scan, and how many a positive one.
        people: How many people there are.
    """

    logits: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    codes: np.ndarray | None
    participants: tuple[int, int]
    people: int

    @classmethod
    def of_predictions(cls, predictions: Predictions) -> Self:
        """One row a scan."""
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
        """One row a bin and class of (2, BINS) counts, at the bin's middle, half a step of 1/64 off at most."""
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
        """How many scans there are."""
        return round(float(self.weights.sum()))

    @property
    def deviation(self) -> float:
        """The standard deviation of the logits."""
        return float(np.sqrt(self.weights @ (self.logits - self.weights @ self.logits / self.scans) ** 2 / self.scans))

    @property
    def several_scans(self) -> bool:
        """Whether somebody has several scans, so that scans are not independent."""
        return self.scans > self.people

    @property
    def few(self) -> bool:
        """Whether under `FEW` people of a class stand behind it."""
        return min(self.participants) < FEW

    @property
    def source(self) -> str:
        """For the method of an estimate."""
        return FROM_COUNTS if self.codes is None else FROM_PREDICTIONS

    def people_among(self, rows: np.ndarray) -> float:
        """People behind the rows that are True; where participants are not known, their share by scans."""
        if self.codes is None:
            return float(self.weights[rows].sum() * self.people / self.scans)
        return len(np.unique(self.codes[rows]))

    def mean(self, values: np.ndarray, method: str) -> Estimate:
        """The mean over scans of (rows,) values with its normal interval, participants as clusters.

        Where participants are not known and have several scans, it is on the wide side, as if a person's scans were
        copies of one another.
        """
        mean = float(self.weights @ values / self.scans)
        deviations = values - mean
        if self.codes is None:
            variance = float(self.weights @ deviations**2) / self.scans / max(1, self.people - 1)
        else:
            sums = np.bincount(self.codes, weights=deviations)
            variance = float(sums @ sums) / self.scans**2 * self.people / max(1, self.people - 1)
        half_width = Z * math.sqrt(variance)
        return defined(mean, (mean - half_width, mean + half_width), f"{method}; {self.source}", self.few)
