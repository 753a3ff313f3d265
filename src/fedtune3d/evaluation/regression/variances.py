"""Sampling variances of measures of predicted numbers: under normality from sums, and robust from predictions.

Where a site's predictions are known, the variance of a measure is estimated by leaving out one person after the other,
which needs neither normality nor equal variances. As for the AUC, its ratio to the variance under normality is pulled
towards 1, as `PRIOR_PEOPLE` people would pull it. From sums alone, the ratio is that of the squared errors' variance to
the one under normality, at least 1.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fedtune3d.evaluation.regression.joint_sums import JointSums
from fedtune3d.evaluation.regression.line import line_values
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.number_sums import NumberSums

PRIOR_PEOPLE = 5
"""People whose weight the variance under normality has against the robust one; chosen by `benchmarks/coverage.py`."""
FEWEST_PEOPLE = 4
"""Fewest people for the variance of a slope or a correlation."""


@dataclass(frozen=True)
class VarianceRatios:
    """Ratios of a measure's variance to the one under normality with people as observations.

    Each is at least 0.01 and has two decimals, so that it adds little to what the sums of a few people reveal.
    """

    r_squared: float
    slope: float
    intercept: float
    pearson: float

    @classmethod
    def of(cls, predictions: NumberPredictions) -> Self | None:
        """Estimate the ratios from predictions; None with too few people or if the numbers do not vary."""
        reference = float(predictions.truth.mean()) if len(predictions) else 0.0
        sums = JointSums.of(predictions, reference)
        model = LineVariances.under_normality(sums, reference)
        if model is None:
            return None
        robust = jackknife_variances(predictions)
        if not all(math.isfinite(variance) for variance in vars(robust).values()):
            return None
        return cls(
            r_squared=_shrunk(robust.r_squared, model.r_squared, sums.people),
            slope=_shrunk(robust.slope, model.slope, sums.people),
            intercept=_shrunk(robust.intercept, model.intercept, sums.people),
            pearson=_shrunk(robust.pearson, model.pearson, sums.people),
        )

    @classmethod
    def from_sums(cls, sums: NumberSums) -> Self:
        """Take the ratio of the squared errors' variance to that under normality for all measures, at least 1.

        Under elliptical distributions, of which the normal is one, the variances of a slope and of a correlation are
        those under normality times a factor that the kurtosis gives, and so is that of a mean square.

        References:
            Muirhead, 1982, Aspects of Multivariate Statistical Theory, section 5.1.4.
        """
        squares = sums.squared_error.measure
        if squares is None or squares.value == 0:
            return cls(1.0, 1.0, 1.0, 1.0)
        ratio = max(1.0, squares.variance / normal_variance_of_square(squares.value, sums.joint.people))
        return cls(ratio, ratio, ratio, ratio)


def normal_variance_of_square(mean_square: float, people: int) -> float:
    """Return the variance of a mean of squares of normal variables with mean 0: 2 / n times the square of its mean."""
    return 2 * mean_square**2 / people


@dataclass(frozen=True)
class LineVariances:
    """Variances of the measures.

    Attributes:
        r_squared: Of R².
        slope: Of the calibration slope, the coefficient in the regression of the true on the predicted number.
        intercept: Of that regression's constant.
        pearson: Of Pearson's correlation.
    """

    r_squared: float
    slope: float
    intercept: float
    pearson: float

    @classmethod
    def under_normality(cls, sums: JointSums, reference: float) -> Self | None:
        """Compute them for jointly normal true and predicted numbers, with people as observations.

        None with under `FEWEST_PEOPLE` people or if the numbers do not vary.

        With n people, the slope's is s² / (n Var p) with s² = n/(n−2) times the mean squared residual, the intercept's
        s²/n + p̄² times that of the slope, and that of Fisher's z of the correlation 1/(n − 3). That of
        log(1 − R²) = log(Σe²/Σ(y − ȳ)²) is, by the delta method, (Var e² / MSE² + 2 − 4 Cov(e, y)² / (MSE Var y)) / n
        with Var e² = 2 Var(e)² + 4 ē² Var e.

        References:
            Fisher, 1921, Metron 1:3–32 (z). Isserlis, 1918, Biometrika 12:134–139 (moments of normal variables).
        """
        n = sums.people
        if n < FEWEST_PEOPLE or not sums.varies:
            return None
        (truth, predicted), covariance = sums.variances, sums.covariance
        bias = sums.means[1] - sums.means[0]
        spread = max(0.0, truth + predicted - 2 * covariance)
        mse = spread + bias**2
        correlation = covariance / math.sqrt(truth * predicted)
        residual = max(0.0, truth - covariance**2 / predicted) * n / (n - 2)
        if mse == 0 or residual == 0:
            return None
        of_squares = (2 * spread**2 + 4 * bias**2 * spread) / mse**2
        of_ratio = of_squares + 2 - 4 * (covariance - truth) ** 2 / (mse * truth)
        return cls(
            r_squared=max(of_ratio, 1e-12) / n * (mse / truth) ** 2,
            slope=residual / (n * predicted),
            intercept=residual / n * (1 + (sums.means[1] + reference) ** 2 / predicted),
            pearson=(1 - correlation**2) ** 2 / (n - 3),
        )


def jackknife_variances(predictions: NumberPredictions) -> LineVariances:
    """Estimate the variances by leaving out one person after the other: (I − 1) / I Σᵢ (θ₍ᵢ₎ − θ)² over I people.

    For a line with one scan per person, this is (n − 1) / n times the variance HC3. That of R² is taken on log(1 − R²)
    and that of the correlation on Fisher's z, where their intervals are symmetric, then brought back by the delta
    method. Not finite if the numbers without one of the people do not vary.

    References:
        Efron and Stein, 1981, Ann. Stat. 9:586–596. MacKinnon and White, 1985, J. Econom. 29:305–325 (HC3).
    """
    reference = float(predictions.truth.mean())
    y, p = predictions.truth - reference, predictions.predicted - reference
    codes = predictions.participant_codes()
    sums = [np.bincount(codes, weights=part) for part in (np.ones(len(y)), y, p, y**2, y * p, p**2)]
    totals: list[NDArray[np.float64]] = [part.sum() - part for part in sums]
    every = line_values([np.array([part.sum()]) for part in sums], reference)
    with np.errstate(divide="ignore", invalid="ignore"):
        without = line_values(totals, reference)
    people = len(sums[0])
    scale = (people - 1) / people

    def variance(left_out: NDArray[np.float64], value: NDArray[np.float64]) -> float:
        return float(scale * np.sum((left_out - value) ** 2))

    unexplained, left = 1 - every.r_squared, 1 - without.r_squared
    with np.errstate(divide="ignore", invalid="ignore"):
        of_logarithm = variance(np.log(left), np.log(unexplained))
        of_z = variance(np.arctanh(without.pearson), np.arctanh(every.pearson))
    return LineVariances(
        r_squared=of_logarithm * float(unexplained[0]) ** 2,
        slope=variance(without.slope, every.slope),
        intercept=variance(without.intercept, every.intercept),
        pearson=of_z * float(1 - every.pearson[0] ** 2) ** 2,
    )


def _shrunk(robust: float, model: float, people: int) -> float:
    degrees = people - 2
    return max(0.01, round((degrees * robust / model + PRIOR_PEOPLE) / (degrees + PRIOR_PEOPLE), 2))
