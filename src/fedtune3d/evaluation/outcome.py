"""The outcome of a model: one of two or more classes, or a number. Every room that asks, asks these types."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

POSITIVE, NEGATIVE = "positive", "negative"
EVERYONE = "everyone"
"""The only stratum of a number: people are not counted by what they have, but all together."""


@dataclass(frozen=True)
class ClassOutcome:
    """One of two or more classes, each with a logit.

    Attributes:
        names: The classes in the order of the logits; of two, the second is the positive one.
    """

    kind: ClassVar[str] = "classes"

    names: tuple[str, ...]

    @property
    def width(self) -> int:
        """Outputs of the model per scan."""
        return len(self.names)

    @property
    def strata(self) -> tuple[str, ...]:
        """The names by which people are counted, in the order of labels."""
        return self.names

    @property
    def is_binary(self) -> bool:
        """True for two classes, for which one probability per scan and one threshold suffice."""
        return len(self.names) == 2

    def predict(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert logits (n, C) to probabilities: of each class (n, C), or of the second of two (n,)."""
        if self.is_binary:
            probabilities: NDArray[np.float64] = expit(outputs[:, 1] - outputs[:, 0])
            return probabilities
        every: NDArray[np.float64] = softmax(outputs, axis=1)
        return every


@dataclass(frozen=True)
class NumberOutcome:
    """A number in a declared range, such as age in years. The model predicts it in units of half the range.

    Attributes:
        column: The column of the tables that holds it.
        minimum: Lowest possible value.
        maximum: Highest possible value.
        unit: Its unit, such as ``years``; empty for a score without one.
        missing: What is done with a scan whose row has no number: it is left out, or the run stops.
        loss: Mean squared or mean absolute error, which training minimises.
    """

    kind: ClassVar[str] = "number"

    column: str
    minimum: float
    maximum: float
    unit: str
    missing: Literal["leave_out", "error"]
    loss: Literal["mse", "mae"] = "mse"

    @property
    def width(self) -> int:
        """Outputs of the model per scan."""
        return 1

    @property
    def strata(self) -> tuple[str, ...]:
        """The names by which people are counted: one for all of them."""
        return (EVERYONE,)

    @property
    def is_binary(self) -> bool:
        """Always False."""
        return False

    @property
    def span(self) -> float:
        """Width of the range, in the unit."""
        return self.maximum - self.minimum

    def standardise(self, number: float) -> float:
        """Map the range to −1 … 1: what the model learns. Needs no statistic of anybody's data."""
        return (2 * number - self.minimum - self.maximum) / self.span

    def predict(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert outputs (n, 1) to numbers in the unit, (n,); they may lie outside the range."""
        return (outputs[:, 0] * self.span + self.minimum + self.maximum) / 2

    def shown(self, number: float, digits: int = 1) -> str:
        """Format a number with its unit."""
        return f"{number:.{digits}f} {self.unit}".rstrip()


Outcome = ClassOutcome | NumberOutcome
Part = TypeVar("Part")


def in_shown_order(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Put what belongs to the classes, in the order of labels, into the order of every list, table and sentence.

    That is the order of the experiment file: of two classes the positive one, which is the last label, comes first.
    """
    listed = tuple(parts)
    return listed[::-1] if len(listed) == 2 else listed


BINARY = ClassOutcome((NEGATIVE, POSITIVE))
