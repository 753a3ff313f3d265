"""Sums of true and predicted numbers, from which means, variances, their line and their correlation follow."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from fedtune3d.evaluation.field_sums import add_fields
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions


@dataclass(frozen=True)
class JointSums:
    """Sums over scans of y, the true number, and p, the predicted one, both minus a reference that all sites know.

    The reference, such as the middle of the target's range, keeps the sums of squares from losing digits.

    Attributes:
        people: Number of people.
        scans: Number of scans.
        truth: Σ y.
        predicted: Σ p.
        truth_squared: Σ y².
        product: Σ y p.
        predicted_squared: Σ p².
    """

    people: int
    scans: int
    truth: float
    predicted: float
    truth_squared: float
    product: float
    predicted_squared: float

    @classmethod
    def of(cls, predictions: NumberPredictions, reference: float) -> Self:
        """Sum the numbers of all scans minus `reference`."""
        y, p = predictions.truth - reference, predictions.predicted - reference
        return cls(
            people=predictions.people,
            scans=len(predictions),
            truth=float(y.sum()),
            predicted=float(p.sum()),
            truth_squared=float(y @ y),
            product=float(y @ p),
            predicted_squared=float(p @ p),
        )

    @classmethod
    def pooled(cls, parts: Iterable[Self]) -> Self:
        """Add the sums of several sites, minus the same reference."""
        return add_fields(cls, parts)

    @property
    def means(self) -> tuple[float, float]:
        """Means of y and of p. Raises `ZeroDivisionError` without scans, as all that follows."""
        return self.truth / self.scans, self.predicted / self.scans

    @property
    def variances(self) -> tuple[float, float]:
        """Mean squared deviations of y and of p from their means."""
        y, p = self.means
        return max(0.0, self.truth_squared / self.scans - y**2), max(0.0, self.predicted_squared / self.scans - p**2)

    @property
    def covariance(self) -> float:
        """Mean product of the deviations of y and of p."""
        y, p = self.means
        return self.product / self.scans - y * p

    @property
    def error_squared(self) -> float:
        """Σ (p − y)²."""
        return max(0.0, self.truth_squared - 2 * self.product + self.predicted_squared)

    @property
    def varies(self) -> bool:
        """True if the true numbers and the predicted numbers both vary by more than rounding error."""
        if not self.scans:
            return False
        sums = (self.truth_squared, self.predicted_squared)
        return all(
            variance > 1e-12 * max(total / self.scans, 1e-300)
            for variance, total in zip(self.variances, sums, strict=True)
        )


def require_possible_joint(sums: JointSums) -> None:
    """Check the sums that a site sent. Raises `ValueError` if no numbers have them."""
    if not 0 <= sums.people <= sums.scans or (sums.people == 0) != (sums.scans == 0):
        raise ValueError(f"sums over {sums.people} people and {sums.scans} scans")
    slack = 1e-9 * (1 + sums.truth_squared + sums.predicted_squared)
    for total, squares in ((sums.truth, sums.truth_squared), (sums.predicted, sums.predicted_squared)):
        if squares < 0 or total**2 > (squares + slack) * sums.scans:
            raise ValueError(f"a sum of squares of {squares:g}, which is too small for a sum of {total:g}")
    if sums.product**2 > (sums.truth_squared + slack) * (sums.predicted_squared + slack):
        raise ValueError(f"a sum of products of {sums.product:g}, which is too great for the sums of squares")
