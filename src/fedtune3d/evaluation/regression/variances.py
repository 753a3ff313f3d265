"""Sampling variances of measures of predicted numbers: under normality from sums, and robust from predictions.

Where a site's predictions are known, the variance of a measure is estimated from people's parts in its error. This
needs neither normality nor equal variances, but is too small with few people. As for the AUC, its ratio to the variance
under normality is therefore pulled towards 1, as `PRIOR_PEOPLE` people would pull it. From sums alone, the ratio is 1.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fedtune3d.evaluation.regression.joint_sums import JointSums
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions

PRIOR_PEOPLE = 15
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
        model = NormalVariances.of(sums, reference)
        if model is None:
            return None
        parts, people = influences(predictions), sums.people
        robust = {name: clustered(part, predictions) for name, part in vars(parts).items()}
        return cls(**{name: _shrunk(robust[name], getattr(model, name), people) for name in robust})


@dataclass(frozen=True)
class NormalVariances:
    """Variances of the measures if true and predicted numbers are jointly normal, with people as observations.

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
    def of(cls, sums: JointSums, reference: float) -> Self | None:
        """Compute from sums; None with under `FEWEST_PEOPLE` people or if the numbers do not vary.

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


@dataclass(frozen=True, eq=False)
class Influences:
    """(n,) part of each scan in the error of a measure, n times; see `NormalVariances` for the measures."""

    r_squared: NDArray[np.float64]
    slope: NDArray[np.float64]
    intercept: NDArray[np.float64]
    pearson: NDArray[np.float64]


def influences(predictions: NumberPredictions) -> Influences:
    """Compute each scan's part in the errors of the measures, from the derivatives of the measures by the moments.

    References:
        Hampel, 1974, J. Am. Stat. Assoc. 69:383–393 (influence curves). Devlin, Gnanadesikan and Kettenring, 1975,
        Biometrika 62:531–545, eq. 2.3 (of a correlation).
    """
    y, p = predictions.truth - predictions.truth.mean(), predictions.predicted - predictions.predicted.mean()
    errors = predictions.errors
    truth, predicted, mse = float(np.mean(y**2)), float(np.mean(p**2)), float(np.mean(errors**2))
    slope = float(np.mean(y * p)) / predicted
    residuals = y - slope * p
    correlation = float(np.mean(y * p)) / math.sqrt(truth * predicted)
    z, w = y / math.sqrt(truth), p / math.sqrt(predicted)
    of_slope = residuals * p / predicted
    return Influences(
        r_squared=-(errors**2 - mse / truth * y**2) / truth,
        slope=of_slope,
        intercept=residuals - predictions.predicted.mean() * of_slope,
        pearson=z * w - correlation * (z**2 + w**2) / 2,
    )


def clustered(part: NDArray[np.float64], predictions: NumberPredictions) -> float:
    """Compute I / (I − 1) Σᵢ (Σ part)² / n² over the I people: the sandwich estimator with people as clusters.

    References:
        Liang and Zeger, 1986, Biometrika 73:13–22.
    """
    sums = np.bincount(predictions.participant_codes(), weights=part)
    people = len(sums)
    return float(sums @ sums) * people / (people - 1) / len(part) ** 2


def _shrunk(robust: float, model: float, people: int) -> float:
    degrees = people - 2
    return max(0.01, round((degrees * robust / model + PRIOR_PEOPLE) / (degrees + PRIOR_PEOPLE), 2))
