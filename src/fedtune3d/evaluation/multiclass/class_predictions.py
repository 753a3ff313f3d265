"""Probabilities of several classes for the scans of one split: the only input of every statistic here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtune3d.evaluation.predictions import Predictions

ROUNDING = 1e-6
"""How far the probabilities of a scan may be from 1 in all: networks compute in single precision."""


@dataclass(frozen=True, eq=False)
class ClassPredictions:
    """Predictions with one row per scan, in any order; may be empty. Arrays are copied and made read-only.

    Attributes:
        participants: Names, unique within the site; all scans of a person have the same name.
        sessions: Names that distinguish a participant's scans; ``""`` if there is only one.
        truth: (n,) int64, the class of each scan: 0, 1, … in the order of the classes.
        probabilities: (n, C) float64, each row a distribution over the C classes.

    Raises:
        ValueError: If lengths differ, a class is unknown, or a row is not a distribution.
    """

    participants: tuple[str, ...]
    sessions: tuple[str, ...]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    def __post_init__(self) -> None:
        probabilities = np.array(self.probabilities, dtype=np.float64)
        truth = np.array(self.truth, dtype=np.int64).reshape(-1)
        if probabilities.ndim != 2 or probabilities.shape[1] < 2:
            raise ValueError(f"probabilities must be (n, C) of at least two classes, got {probabilities.shape}")
        lengths = (len(self.participants), len(self.sessions), len(truth), len(probabilities))
        if len(set(lengths)) != 1:
            raise ValueError(f"participants, sessions, truth and probabilities must be equally long, got {lengths}")
        if not ((truth >= 0) & (truth < probabilities.shape[1])).all():
            last = probabilities.shape[1] - 1
            raise ValueError(f"classes must be from 0 to {last}, got {sorted(set(truth.tolist()))}")
        inside = (probabilities >= 0).all(axis=1) & (np.abs(probabilities.sum(axis=1) - 1) <= ROUNDING)
        if not inside.all():
            row = int(np.flatnonzero(~inside)[0])
            raise ValueError(
                f"probabilities of {self.participants[row]!r} must be from 0 to 1 and 1 in all, got "
                f"{probabilities[row].tolist()}"
            )
        probabilities = np.minimum(probabilities, 1.0)
        truth.flags.writeable = probabilities.flags.writeable = False
        object.__setattr__(self, "truth", truth)
        object.__setattr__(self, "probabilities", probabilities)

    def __len__(self) -> int:
        return len(self.participants)

    @property
    def classes(self) -> int:
        """Number of classes, C."""
        return int(self.probabilities.shape[1])

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(n,) the class with the highest probability, the first of several."""
        called: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return called

    @property
    def scans_by_class(self) -> tuple[int, ...]:
        """(C,) scans of each class."""
        return tuple(np.bincount(self.truth, minlength=self.classes).tolist())

    @property
    def participants_by_class(self) -> tuple[int, ...]:
        """(C,) people with a scan of each class; those whose class changes count in several."""
        codes = self.participant_codes()
        return tuple(len(np.unique(codes[self.truth == of])) for of in range(self.classes))

    def participant_codes(self) -> NDArray[np.int64]:
        """Return (n,) int64 codes 0, 1, … of the participants, in the order of their names."""
        codes: NDArray[np.int64] = np.unique(np.array(self.participants, dtype=str), return_inverse=True)[1].reshape(-1)
        return codes

    def of_true_classes(self) -> NDArray[np.float64]:
        """(n,) the probability of each scan's own class."""
        own: NDArray[np.float64] = self.probabilities[np.arange(len(self)), self.truth]
        return own

    def one_vs_rest(self, of: int) -> Predictions:
        """Return all scans with the probability of class `of`; scans of that class are positive."""
        return Predictions(self.participants, self.sessions, self.truth == of, self.probabilities[:, of])

    def one_vs_one(self, of: int, other: int) -> Predictions:
        """Return the scans of two classes with the probability of class `of`; scans of that class are positive."""
        rows = np.flatnonzero((self.truth == of) | (self.truth == other))
        return Predictions(
            tuple(self.participants[row] for row in rows),
            tuple(self.sessions[row] for row in rows),
            self.truth[rows] == of,
            self.probabilities[rows, of],
        )

    def top_label(self) -> Predictions:
        """Return all scans with the probability of the predicted class; scans whose class it is are positive."""
        return Predictions(
            self.participants, self.sessions, self.predicted == self.truth, self.probabilities.max(axis=1)
        )
