"""The section `splits` of an experiment."""

from typing import Self

from pydantic import model_validator

from fedtune3d._utils.ranges import Fraction
from fedtune3d._utils.strict import StrictModel


class Splits(StrictModel):
    """The fraction of people in each split, per class; the three sum to 1.

    Attributes:
        train: Fraction of the people of each class whose scans are trained on.
        validation: Fraction on which the round and the thresholds are chosen.
        test: Fraction that is used for the reported results only.
    """

    train: Fraction = 0.5
    validation: Fraction = 0.2
    test: Fraction = 0.3

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(self.train + self.validation + self.test - 1) > 1e-9:
            raise ValueError(f"train + validation + test must sum to 1, but sum to {sum(self.fractions()):g}")
        return self

    def fractions(self) -> tuple[float, float, float]:
        """Return the fractions in the order train, validation, test."""
        return self.train, self.validation, self.test
