"""The matrix of test scans by class and predicted class, without cells about a few people, and what follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fedtune3d.evaluation.confusion import NO_SCANS, WILSON, Fraction
from fedtune3d.evaluation.estimate import FEW, Estimate, defined, undefined
from fedtune3d.evaluation.intervals import wilson
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions

HELD_BACK = "held back, as it would be about a few people"
BALANCED = "mean of the classes' sensitivities, Wilson with the people who vary as much"


@dataclass(frozen=True)
class ConfusionMatrix:
    """Numbers of test scans.

    Attributes:
        cells: Class → predicted class → scans; None where it would be about too few people.
        totals: Scans of each class.
    """

    cells: tuple[tuple[int | None, ...], ...]
    totals: tuple[int, ...]

    @classmethod
    def of(cls, predictions: ClassPredictions, min_people: int = 1) -> Self:
        """Count the scans by class and class of highest probability.

        A cell about fewer than `min_people` people is held back, but not one of 0 scans. As the total of a class is
        known, the cells held back in a row must be about `min_people` people in all, or the smallest other cell of the
        row is held back, too.
        """
        codes, called, classes = predictions.participant_codes(), predictions.predicted, range(predictions.classes)
        rows = []
        for of in classes:
            cells = [codes[(predictions.truth == of) & (called == other)] for other in classes]
            hidden = _hidden([set(people.tolist()) for people in cells], min_people)
            rows.append(tuple(None if other in hidden else len(cells[other]) for other in classes))
        return cls(tuple(rows), predictions.scans_by_class)

    @classmethod
    def pooled(cls, parts: Sequence[Self]) -> Self:
        """Add the matrices of several sites; a cell that one of them holds back is held back."""
        classes = range(len(parts[0].totals))
        cells = [[[part.cells[of][other] for part in parts] for other in classes] for of in classes]
        return cls(
            tuple(tuple(_sum(values) for values in row) for row in cells),
            tuple(sum(part.totals[of] for part in parts) for of in classes),
        )

    @property
    def whole(self) -> bool:
        """True if no cell is held back."""
        return all(cell is not None for row in self.cells for cell in row)

    def recognised(self, of: int) -> Fraction | None:
        """Scans of a class that are called that class; None if held back."""
        right = self.cells[of][of]
        return None if right is None else Fraction(right, self.totals[of])

    def right(self) -> Fraction | None:
        """Scans that are called what they are; None if held back for a class."""
        right = _sum([row[of] for of, row in enumerate(self.cells)])
        return None if right is None else Fraction(right, sum(self.totals))


def sensitivity(matrix: ConfusionMatrix, of: int, people: int) -> Estimate:
    """Estimate the share of a class's scans that are called that class, with Wilson's interval for so many people.

    It is conservative if people have several scans.
    """
    if not matrix.totals[of]:
        return undefined("no test scans of this class" if any(matrix.totals) else NO_SCANS)
    return _share(matrix.recognised(of), people)


def accuracy(matrix: ConfusionMatrix, people: int, people_by_class: Sequence[int]) -> Estimate:
    """Estimate the share of scans that are called what they are, with Wilson's interval for so many people."""
    if not any(matrix.totals):
        return undefined(NO_SCANS)
    return _share(matrix.right(), people, few=min(people_by_class) < FEW)


def balanced_accuracy(sensitivities: Sequence[Estimate], people_by_class: Sequence[int]) -> Estimate:
    """Estimate the mean of the classes' sensitivities; undefined if one of them is.

    Its interval is Wilson's with `effective_people` observations.
    """
    values = [part.value for part in sensitivities if part.value is not None]
    if len(values) < len(sensitivities):
        return undefined(next(part.undefined for part in sensitivities if part.undefined is not None))
    mean = sum(values) / len(values)
    few = any(part.mark for part in sensitivities)
    return defined(mean, wilson(mean, effective_people(people_by_class)), BALANCED, few)


def effective_people(sizes: Sequence[float]) -> float:
    """Return the number of observations with which a share varies as the plain mean of k shares does: k² / Σ 1/nᵢ.

    If all true shares are equal; where they differ, the mean varies less, as the variance is concave.

    Args:
        sizes: Observations behind each share, each positive.
    """
    return len(sizes) ** 2 / sum(1 / size for size in sizes)


def require_possible_matrix(matrix: ConfusionMatrix, scans_by_class: Sequence[int]) -> None:
    """Check a matrix that a site sent. Raises `ValueError` if its cells do not add up."""
    classes = len(scans_by_class)
    if matrix.totals != tuple(scans_by_class) or [len(row) for row in matrix.cells] != [classes] * classes:
        raise ValueError(f"a confusion matrix of {matrix.totals} scans, not {tuple(scans_by_class)}")
    for total, row in zip(matrix.totals, matrix.cells, strict=True):
        known = [cell for cell in row if cell is not None]
        if min(known, default=0) < 0 or sum(known) > total or (len(known) == classes and sum(known) != total):
            raise ValueError(f"a confusion matrix with the row {row} of {total} scans")


def _hidden(cells: Sequence[set[int]], min_people: int) -> set[int]:
    """The cells of a row, given as the people in each, that must not leave."""
    hidden = {cell for cell, people in enumerate(cells) if 0 < len(people) < min_people}
    others = [cell for cell, people in enumerate(cells) if len(people) >= min_people]
    others.sort(key=lambda cell: len(cells[cell]))
    while hidden and others and len(set().union(*(cells[cell] for cell in hidden))) < min_people:
        hidden.add(others.pop(0))
    return hidden


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _share(fraction: Fraction | None, people: int, few: bool | None = None) -> Estimate:
    if fraction is None:
        return undefined(HELD_BACK)
    share = fraction.count / fraction.total
    return defined(share, wilson(share, people), WILSON, few=people < FEW if few is None else few)


def matrix_array(matrix: ConfusionMatrix) -> NDArray[np.float64]:
    """Return (C, C) shares of each class's scans by predicted class; NaN where held back or without scans."""
    cells = np.array([[np.nan if cell is None else cell for cell in row] for row in matrix.cells], dtype=np.float64)
    totals = np.array(matrix.totals, dtype=np.float64)[:, None]
    shares: NDArray[np.float64] = np.divide(cells, totals, out=np.full_like(cells, np.nan), where=totals > 0)
    return shares
