"""Predicted numbers of the scans of one split: the only input of every statistic here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class NumberPredictions:
    """Predictions with one row per scan, in any order; may be empty. Arrays are copied and made read-only.

    Attributes:
        participants: Names, unique within the site; all scans of a person have the same name.
        sessions: Names that distinguish a participant's scans; ``""`` if there is only one.
        truth: (n,) float64, in the unit of the target.
        predicted: (n,) float64, in the same unit.

    Raises:
        ValueError: If lengths differ or a number is not finite.
    """

    participants: tuple[str, ...]
    sessions: tuple[str, ...]
    truth: NDArray[np.float64]
    predicted: NDArray[np.float64]

    def __post_init__(self) -> None:
        truth, predicted = (np.array(part, dtype=np.float64).reshape(-1) for part in (self.truth, self.predicted))
        lengths = (len(self.participants), len(self.sessions), len(truth), len(predicted))
        if len(set(lengths)) != 1:
            raise ValueError(f"participants, sessions, truth and predicted must be equally long, got {lengths}")
        infinite = ~(np.isfinite(truth) & np.isfinite(predicted))
        if infinite.any():
            row = int(np.flatnonzero(infinite)[0])
            raise ValueError(
                f"numbers of {self.participants[row]!r} must be finite, got {truth[row]} and {predicted[row]}"
            )
        truth.flags.writeable = predicted.flags.writeable = False
        object.__setattr__(self, "truth", truth)
        object.__setattr__(self, "predicted", predicted)

    def __len__(self) -> int:
        return len(self.participants)

    @property
    def errors(self) -> NDArray[np.float64]:
        """(n,) predicted minus true number."""
        return self.predicted - self.truth

    @property
    def people(self) -> int:
        """Number of people."""
        return len(set(self.participants))

    def participant_codes(self) -> NDArray[np.int64]:
        """Return (n,) int64 codes 0, 1, … of the participants, in the order of their names."""
        codes: NDArray[np.int64] = np.unique(np.array(self.participants, dtype=str), return_inverse=True)[1].reshape(-1)
        return codes
