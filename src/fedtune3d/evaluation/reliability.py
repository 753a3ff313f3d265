"""The calibration curve in ten bins, and the expected calibration error."""

from dataclasses import dataclass

import numpy as np

from fedtune3d.evaluation.estimate import FEW, Estimate, defined
from fedtune3d.evaluation.intervals import wilson
from fedtune3d.evaluation.sample import Sample

EDGES = np.linspace(0, 1, 11)
"""Ten bins of equal width; a bin includes its lower edge, and the last one also 1."""

WILSON = "Wilson, by participants"


@dataclass(frozen=True)
class CurvePoint:
    """A non-empty bin of the calibration curve."""

    low_edge: float
    high_edge: float
    scans: int
    mean_probability: float
    observed: Estimate


@dataclass(frozen=True)
class CalibrationError:
    """The calibration error, and its expected value for a perfectly calibrated model with the same scans per bin."""

    value: float | None
    if_calibrated: float | None


def calibration_curve(sample: Sample) -> tuple[CurvePoint, ...]:
    """Compute, for each non-empty bin, the mean probability and the share of positives with its interval."""
    bins, points = _bins(sample), []
    for index in np.unique(bins):
        rows = bins == index
        scans, positives, probabilities = _sums(sample, rows)
        people = sample.people_among(rows)
        observed = defined(
            positives / scans, wilson(positives / scans, people), f"{WILSON}; {sample.source}", people < FEW
        )
        points.append(
            CurvePoint(
                low_edge=float(EDGES[index]),
                high_edge=float(EDGES[index + 1]),
                scans=round(scans),
                mean_probability=probabilities / scans,
                observed=observed,
            )
        )
    return tuple(points)


def calibration_error(sample: Sample) -> CalibrationError:
    """Compute the expected calibration error: Σ over bins of |positives − sum of probabilities| / number of scans.

    It is above 0 by chance, more so with fewer scans. `if_calibrated` is its expected value if each bin's positives are
    binomial with the bin's mean probability, for one scan per person (de Moivre's mean absolute deviation).

    References:
        Naeini, Cooper and Hauskrecht, 2015, AAAI, 2901–2907, for the positive class; Diaconis and Zabell, 1991, Stat.
        Sci. 6:284–302, for the mean absolute deviation.
    """
    if not sample.scans:
        return CalibrationError(value=None, if_calibrated=None)
    bins, error, chance = _bins(sample), 0.0, 0.0
    for index in np.unique(bins):
        scans, positives, probabilities = _sums(sample, bins == index)
        error += abs(positives - probabilities)
        chance += _mean_absolute_deviation(round(scans), probabilities / scans)
    return CalibrationError(value=error / sample.scans, if_calibrated=chance / sample.scans)


def _bins(sample: Sample) -> np.ndarray:
    return np.searchsorted(EDGES[1:-1], sample.probabilities, side="right")


def _sums(sample: Sample, rows: np.ndarray) -> tuple[float, float, float]:
    weights = sample.weights[rows]
    positives, probabilities = weights @ sample.labels[rows], weights @ sample.probabilities[rows]
    return float(weights.sum()), float(positives), float(probabilities)


def _mean_absolute_deviation(n: int, p: float) -> float:
    """Compute E|X − np| of a binomial X."""
    from scipy.stats import binom

    above = int(n * p) + 1
    return float(2 * above * (1 - p) * binom.pmf(above, n, p))
