"""Calibration of the predicted probabilities: slope, intercept, Brier score and expected calibration error."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from fedtune3d.evaluation.brier import brier_score
from fedtune3d.evaluation.estimate import FEW, Estimate, Z, defined, undefined
from fedtune3d.evaluation.grid import STEPS_PER_UNIT
from fedtune3d.evaluation.reliability import CalibrationError, calibration_error
from fedtune3d.evaluation.sample import Sample

if TYPE_CHECKING:
    from statsmodels.genmod.generalized_linear_model import GLMResultsWrapper

_STEPS = 50
_FAR = 40.0
"""Beyond every intercept: logits are cut at ±10."""


@dataclass(frozen=True)
class Calibration:
    """Calibration measures. Slope 1 and intercept 0 are perfect; with a slope below 1, probabilities are too extreme;
    with an intercept above 0, they are too low overall."""

    slope: Estimate
    intercept: Estimate
    brier: Estimate
    error: CalibrationError


def calibration(sample: Sample) -> Calibration:
    """Compute slope, intercept (calibration-in-the-large), Brier score and calibration error of the test scans.

    The slope is that of a logistic regression of the label on the logit of the probability, with a normal interval. The
    intercept is that of the regression with the slope fixed at 1, with a score interval whose variance is robust. If
    people have several scans, the variance is cluster-robust with participants as clusters or, if participants are not
    known, inflated as if a person's scans were copies. Logits are clipped to ±10.

    Neither is given with fewer than `FEW` people in a class, where a fit would separate the classes or its interval
    span tens of logits. The slope is undefined if the classes do not overlap, as the fit then does not converge, or if
    the logits' standard deviation is below a step of the grid, 1/64, as it would only reflect noise.

    References:
        Cox, 1958, Biometrika 45:562–565; Van Calster et al., 2019, BMC Med. 17:230; Brier, 1950, Mon. Weather Rev.
        78:1–3; White, 1982, Econometrica 50:1–25 (the variance of the intercept's score).
    """
    error = calibration_error(sample)
    if not sample.scans:
        nothing = undefined("no test scans, or too few for the policy")
        return Calibration(slope=nothing, intercept=nothing, brier=nothing, error=error)
    brier = brier_score(sample)
    if sample.few:
        why = "one class only" if min(sample.participants) == 0 else f"under {FEW} people in a class"
        return Calibration(slope=undefined(why), intercept=undefined(why), brier=brier, error=error)
    return Calibration(slope=_slope(sample), intercept=_intercept(sample), brier=brier, error=error)


def _slope(sample: Sample) -> Estimate:
    by_class = [sample.logits[sample.labels == label] for label in (0, 1)]
    if by_class[0].max() <= by_class[1].min() or by_class[1].max() <= by_class[0].min():
        return undefined("the classes do not overlap, so a logistic fit separates them")
    if sample.deviation < 1 / STEPS_PER_UNIT:
        return undefined("the probabilities are nearly constant")
    return _regression(sample, np.stack([sample.logits, np.ones(len(sample.logits))], axis=1))


def _intercept(sample: Sample) -> Estimate:
    """The a with Σ rᵢ(a) = 0, rᵢ = label − expit(logit + a); its interval holds each a with (Σ rᵢ)² ≤ z² Var(Σ rᵢ)."""
    from scipy.optimize import brentq

    def residuals(intercept: float) -> np.ndarray:
        return np.asarray(sample.labels - expit(sample.logits + intercept))

    def total(intercept: float) -> float:
        return float(sample.weights @ residuals(intercept))

    def excess(intercept: float) -> float:
        return total(intercept) ** 2 - Z**2 * sample.variance_of_sum(residuals(intercept))

    value = float(brentq(total, -_FAR, _FAR, xtol=1e-12))
    low, high = (float(brentq(excess, value, end, xtol=1e-12)) for end in (-_FAR, _FAR))
    people = ", participants as clusters" if sample.several_scans else ""
    method = f"calibration in the large, score interval with robust variance{people}; {sample.source}"
    return defined(value, (low, high), method, sample.few)


def _regression(sample: Sample, design: np.ndarray) -> Estimate:
    """Estimate the first coefficient of a logistic regression of the label, with its normal interval."""
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    model = GLM(sample.labels, design, family=Binomial(), freq_weights=sample.weights)
    fit = model.fit(maxiter=_STEPS, tol=1e-12, tol_criterion="params")
    value, half_width = float(fit.params[0]), Z * math.sqrt(_variance(sample, design, fit)[0, 0])
    people = ", participants as clusters" if sample.several_scans else ""
    method = f"logistic recalibration, normal interval{people}; {sample.source}"
    return defined(value, (value - half_width, value + half_width), method, sample.few)


def _variance(sample: Sample, design: np.ndarray, fit: "GLMResultsWrapper") -> np.ndarray:
    """Return the inverse information; with several scans per person, the sandwich estimator with people as clusters or,
    if people are not known, the inverse information times scans / people.

    The sandwich estimator has the factor I / (I − 1) for I people (Liang and Zeger, 1986, Biometrika 73:13–22).
    """
    inverse: np.ndarray = fit.cov_params()
    if not sample.several_scans:
        return inverse
    if sample.codes is None:
        return inverse * sample.scans / sample.people
    scores = np.zeros((sample.people, design.shape[1]))
    np.add.at(scores, sample.codes, design * (sample.weights * fit.resid_response)[:, None])
    robust: np.ndarray = inverse @ (scores.T @ scores) @ inverse * sample.people / max(1, sample.people - 1)
    return robust
