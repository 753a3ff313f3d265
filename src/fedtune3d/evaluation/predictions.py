"""Predictions of a model for the scans of one split: the only input of every statistic here."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Predictions:
    """Predictions with one row per scan, in any order; may be empty. Arrays are copied and made read-only.

    Attributes:
        participants: Names, unique within the site; all scans of a person have the same name.
        sessions: Names that distinguish a participant's scans; ``""`` if there is only one.
        labels: (n,) int8, 1 positive and 0 negative.
        probabilities: (n,) float64 in [0, 1], the probability of the positive class.

    Raises:
        ValueError: If lengths differ, a label is neither 0 nor 1, or a probability is not in [0, 1].
    """

    participants: tuple[str, ...]
    sessions: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray

    def __post_init__(self) -> None:
        labels = np.array(self.labels).reshape(-1)
        probabilities = np.array(self.probabilities, dtype=np.float64).reshape(-1)
        lengths = (len(self.participants), len(self.sessions), len(labels), len(probabilities))
        if len(set(lengths)) != 1:
            raise ValueError(f"participants, sessions, labels and probabilities must be equally long, got {lengths}")
        if not np.isin(labels, (0, 1)).all():
            raise ValueError(f"labels must be 0 or 1, got {sorted(set(labels.tolist()) - {0, 1})}")
        outside = ~((probabilities >= 0) & (probabilities <= 1))
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            raise ValueError(f"probability of {self.participants[row]!r} must be in [0, 1], got {probabilities[row]}")
        self._set("labels", labels.astype(np.int8))
        self._set("probabilities", probabilities)

    def _set(self, name: str, array: np.ndarray) -> None:
        array.flags.writeable = False
        object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.participants)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Predictions)
            and self.participants == other.participants
            and self.sessions == other.sessions
            and np.array_equal(self.labels, other.labels)
            and np.array_equal(self.probabilities, other.probabilities)
        )

    def participant_codes(self) -> np.ndarray:
        """Return (n,) int64 codes 0, 1, … of the participants, in the order of their names."""
        return np.unique(np.array(self.participants, dtype=str), return_inverse=True)[1].reshape(-1)


def why_undefined(negatives: int, positives: int) -> str | None:
    """Return why there is no AUC with these numbers of test scans; None if there is one."""
    if negatives + positives == 0:
        return "no test scans, or too few for the policy"
    if negatives == 0:
        return f"one class only (all {positives} test scans positive)"
    if positives == 0:
        return f"one class only (all {negatives} test scans negative)"
    return None


def participants_by_class(predictions: Predictions) -> tuple[int, int]:
    """Count the participants with a negative scan and those with a positive scan."""
    codes = predictions.participant_codes()
    negative, positive = (len(np.unique(codes[predictions.labels == label])) for label in (0, 1))
    return negative, positive
