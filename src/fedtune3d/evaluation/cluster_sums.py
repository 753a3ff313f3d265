"""Sums over people from which the mean of a value per scan follows, with its variance: all that a site need send."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fedtune3d.evaluation.field_sums import add_fields
from fedtune3d.evaluation.measure import Measure


@dataclass(frozen=True)
class ClusterSums:
    """Sums over people i of the nᵢ scans and of sᵢ, the sum of a value over the person's scans.

    Attributes:
        people: Number of people.
        scans: Σ nᵢ.
        squared_scans: Σ nᵢ².
        total: Σ sᵢ.
        scans_times_total: Σ nᵢ sᵢ.
        squared_total: Σ sᵢ².
    """

    people: int
    scans: int
    squared_scans: int
    total: float
    scans_times_total: float
    squared_total: float

    @classmethod
    def of(cls, values: NDArray[np.float64], codes: NDArray[np.int64]) -> Self:
        """Sum (n,) values of scans by the (n,) codes 0, 1, … of their people."""
        scans = np.bincount(codes)
        sums = np.bincount(codes, weights=values)
        return cls(
            people=len(scans),
            scans=len(values),
            squared_scans=int(scans @ scans),
            total=float(sums.sum()),
            scans_times_total=float(scans @ sums),
            squared_total=float(sums @ sums),
        )

    @classmethod
    def pooled(cls, parts: Iterable[Self]) -> Self:
        """Add the sums of different people, such as those of several sites."""
        return add_fields(cls, parts)

    @property
    def mean(self) -> float:
        """The mean over scans. Raises `ZeroDivisionError` without scans."""
        return self.total / self.scans

    @property
    def measure(self) -> Measure | None:
        """The mean over scans with its variance, people as clusters; None with fewer than two people.

        I / (I − 1) Σ (sᵢ − nᵢ mean)² / N², of I people with N scans: the linearised variance of a ratio of sums. With
        one scan per person it is the squared standard error of a mean.

        References:
            Cochran, 1977, Sampling Techniques, 3rd edition, eq. 6.13. Liang and Zeger, 1986, Biometrika 73:13–22.
        """
        if self.people < 2:
            return None
        mean = self.mean
        squares = self.squared_total - 2 * mean * self.scans_times_total + mean**2 * self.squared_scans
        variance = max(0.0, squares) * self.people / (self.people - 1) / self.scans**2
        return Measure(mean, variance, self.people - 1)


def require_possible_sums(sums: ClusterSums, people: int, scans: int, low: float, high: float) -> None:
    """Check the sums that a site sent of values from `low` to `high`. Raises `ValueError` if they are impossible."""
    if (sums.people, sums.scans) != (people, scans) or not scans <= sums.squared_scans <= scans**2:
        raise ValueError(f"sums over {sums.people} people and {sums.scans} scans, not {people} and {scans}")
    slack = 1e-9 * max(1.0, abs(low), abs(high)) * max(1, scans)
    if not low * scans - slack <= sums.total <= high * scans + slack:
        raise ValueError(f"a sum of {sums.total:g} over {scans} scans, of values from {low:g} to {high:g}")
    # Cauchy and Schwarz: (Σ sᵢ)² ≤ I Σ sᵢ², and (Σ nᵢ sᵢ)² ≤ Σ nᵢ² Σ sᵢ².
    enough = sums.squared_total * (1 + 1e-9) + slack
    if sums.total**2 > people * enough or sums.scans_times_total**2 > sums.squared_scans * enough:
        raise ValueError(f"a sum of squares of {sums.squared_total:g}, which is too small for a sum of {sums.total:g}")
