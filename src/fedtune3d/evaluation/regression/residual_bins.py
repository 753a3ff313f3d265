"""Sums of predicted numbers by range of the true number, with no range about a few people."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedtune3d.evaluation.field_sums import add_fields
from fedtune3d.evaluation.regression.coarse import coarse_step, to_step
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions

BINS = 12


@dataclass(frozen=True)
class ResidualBin:
    """Scans whose true numbers are in one of `BINS` equal parts of the target's range.

    Attributes:
        index: The part; scans outside the range are in the first or last one.
        people: People with such a scan.
        scans: Number of scans.
        truth: Sum of true numbers; coarse where there is a minimum of people, as are the others (`_coarse`).
        error: Sum of predicted minus true numbers.
        squared_error: Sum of its squares.
    """

    index: int
    people: int
    scans: int
    truth: float
    error: float
    squared_error: float

    @property
    def mean_truth(self) -> float:
        """Mean true number."""
        return self.truth / self.scans

    @property
    def mean_error(self) -> float:
        """Mean of predicted minus true numbers."""
        return self.error / self.scans

    @property
    def deviation(self) -> float:
        """Standard deviation of predicted minus true numbers over scans."""
        return math.sqrt(max(0.0, self.squared_error / self.scans - self.mean_error**2))


def residual_bins(
    predictions: NumberPredictions, limits: tuple[float, float], min_people: int = 1
) -> tuple[ResidualBin, ...]:
    """Sum the errors by range of the true number; neighbouring ranges are joined until each has enough people.

    Joined ranges are counted in the one nearest to their mean true number.

    Args:
        predictions: The scans.
        limits: The target's range.
        min_people: Fewest people of a range. Without as many in all, there is none. Above 1 the sums are coarse.
    """
    low, high = limits
    scaled = np.floor((predictions.truth - low) / (high - low) * BINS)
    places = np.clip(scaled, 0, BINS - 1).astype(np.int64)
    found: list[ResidualBin] = []
    for rows in _runs(places.tolist(), predictions.participants, min_people):
        truth, errors = predictions.truth[rows], predictions.errors[rows]
        nearest = int(np.clip(np.floor((truth.mean() - low) / (high - low) * BINS), 0, BINS - 1))
        people = len({predictions.participants[row] for row in rows})
        found.append(
            ResidualBin(nearest, people, len(rows), float(truth.sum()), float(errors.sum()), float(errors @ errors))
        )
    return tuple(found) if min_people == 1 else tuple(_coarse(part, limits) for part in found)


def _coarse(exact: ResidualBin, limits: tuple[float, float]) -> ResidualBin:
    """Round the numbers of a range, which a figure shows and from which nothing is computed.

    The people of a range have nearly the same number: of ages or scores, which are whole numbers, a range holds a few
    values only, which could be solved for from exact sums. So everybody stands in the middle of the range, and the sum
    of errors and their standard deviation are rounded (see `coarse`).
    """
    width = (limits[1] - limits[0]) / BINS
    error, deviation = to_step(exact.error, coarse_step(limits)), to_step(exact.deviation, width / 2)
    squares = exact.scans * (deviation**2 + (error / exact.scans) ** 2)
    middle = limits[0] + (exact.index + 0.5) * width
    return ResidualBin(exact.index, exact.people, exact.scans, exact.scans * middle, error, squares)


def pool_bins(parts: Sequence[Sequence[ResidualBin]]) -> tuple[ResidualBin, ...]:
    """Add the bins of several sites."""
    bins = [part for site in parts for part in site]
    return tuple(
        replace(add_fields(ResidualBin, (part for part in bins if part.index == index)), index=index)
        for index in sorted({part.index for part in bins})
    )


def require_possible_bins(
    bins: Sequence[ResidualBin], people: int, scans: int, error: float, rounding: float = 0.0
) -> None:
    """Check bins that a site sent against its test scans. Raises `ValueError` if they contradict each other.

    Args:
        bins: The bins.
        people: People with test scans.
        scans: Test scans.
        error: Sum of their errors.
        rounding: How far the sum of errors of a bin may be from the exact one.
    """
    if not bins:
        return
    if any(not 0 <= part.index < BINS or not 1 <= part.people <= min(people, part.scans) for part in bins):
        raise ValueError("errors by range of the true number: a range or number of people that there is not")
    if any(part.error**2 > part.scans * part.squared_error * (1 + 1e-9) + 1e-9 for part in bins):
        raise ValueError("errors by range of the true number: a sum of squares that is too small")
    total, squares = math.fsum(part.error for part in bins), math.fsum(part.squared_error for part in bins)
    allowed = 1e-6 * (1 + scans + squares) + rounding * len(bins)
    if sum(part.scans for part in bins) != scans or abs(total - error) > allowed:
        raise ValueError("errors by range of the true number do not add up to those of all test scans")


def _runs(places: Sequence[int], participants: Sequence[str], min_people: int) -> Iterator[list[int]]:
    """Split the rows into the shortest runs of whole ranges with enough people; the last run takes in what is left."""
    runs: list[list[int]] = []
    run: list[int] = []
    for place in range(BINS):
        run += [row for row, own in enumerate(places) if own == place]
        if run and len({participants[row] for row in run}) >= min_people:
            runs.append(run)
            run = []
    if run and runs:
        runs[-1] = runs[-1] + run
    return iter(runs)
