"""Calibration of the predicted probabilities: slope, intercept, Brier score and expected calibration error."""

import math
from dataclasses import dataclass

import numpy as np

from fedtune3d.evaluation.estimate import Estimate, Z, defined, undefined
from fedtune3d.evaluation.grid import STEPS_PER_UNIT
from fedtune3d.evaluation.reliability import CalibrationError, calibration_error
from fedtune3d.evaluation.sample import Sample

_STEPS = 50


@dataclass(frozen=True)
class Calibration:
    """Slope 1 and intercept 0 are perfect; a slope below 1 means probabilities that are too extreme, an intercept
    above 0 probabilities that are too low overall."""

    slope: Estimate
    intercept: Estimate
    brier: Estimate
    error: CalibrationError


def calibration(sample: Sample) -> Calibration:
    """Slope, intercept (calibration-in-the-large), Brier score and calibration error of the test scans.

    The slope is that of a logistic regression of the label on the logit of the probability, and the intercept that of
    one with the slope held at 1. Their intervals are normal; where somebody has several scans they are robust to that,
    with participants as clusters, or, where participants are not known, widened as if a person's scans were copies.
    A probability beyond a logit of ±10 counts as that. No slope is given where the logits' standard deviation is under
    a step of the grid, 1/64: it would be that of noise.

    References:
        Cox, 1958, Biometrika 45:562–565; Van Calster et al., 2019, BMC Med. 17:230; Brier, 1950, Mon. Weather Rev.
        78:1–3.
    """
    error = calibration_error(sample)
    if not sample.scans:
        nothing = undefined("no test scans, or too few for the policy")
        return Calibration(slope=nothing, intercept=nothing, brier=nothing, error=error)
    brier = sample.mean((sample.probabilities - sample.labels) ** 2, "normal interval, participants as clusters")
    if min(sample.participants) == 0:
        nothing = undefined("one class only")
        return Calibration(slope=nothing, intercept=nothing, brier=brier, error=error)
    return Calibration(slope=_slope(sample), intercept=_intercept(sample), brier=brier, error=error)


def _slope(sample: Sample) -> Estimate:
    by_class = [sample.logits[sample.labels == label] for label in (0, 1)]
    if by_class[0].max() <= by_class[1].min() or by_class[1].max() <= by_class[0].min():
        return undefined("the classes do not overlap")
    if sample.deviation < 1 / STEPS_PER_UNIT:
        return undefined("the probabilities hardly differ")
    return _regression(
        sample, np.stack([sample.logits, np.ones(len(sample.logits))], axis=1), np.zeros_like(sample.logits)
    )


def _intercept(sample: Sample) -> Estimate:
    return _regression(sample, np.ones((len(sample.logits), 1)), sample.logits)


def _regression(sample: Sample, design: np.ndarray, offset: np.ndarray) -> Estimate:
    """The first coefficient of a logistic regression, by Newton's method with halved steps."""
    coefficients = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        residuals, information = _score(sample, design, offset, coefficients)
        step = np.linalg.solve(information, design.T @ residuals)
        while _loss(sample, design, offset, coefficients + step) > _loss(sample, design, offset, coefficients) + 1e-12:
            step = step / 2
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-10:
            break
    variance = _variance(sample, design, offset, coefficients)
    value, half_width = float(coefficients[0]), Z * math.sqrt(variance[0, 0])
    people = ", participants as clusters" if sample.several_scans else ""
    method = f"logistic recalibration, normal interval{people}; {sample.source}"
    return defined(value, (value - half_width, value + half_width), method, sample.few)


def _score(sample: Sample, design: np.ndarray, offset: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) weighted residuals, and the Fisher information."""
    expected = 1 / (1 + np.exp(-(design @ at + offset)))
    information = (design * (sample.weights * expected * (1 - expected))[:, None]).T @ design
    return sample.weights * (sample.labels - expected), information


def _loss(sample: Sample, design: np.ndarray, offset: np.ndarray, at: np.ndarray) -> float:
    linear = design @ at + offset
    return float(sample.weights @ (np.logaddexp(0, linear) - sample.labels * linear))


def _variance(sample: Sample, design: np.ndarray, offset: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The inverse information; with several scans a person the sandwich over people or, where these are not known, the
    inverse times scans / people.

    The sandwich carries the factor I / (I − 1) for I people (Liang and Zeger, 1986, Biometrika 73:13–22).
    """
    residuals, information = _score(sample, design, offset, at)
    inverse = np.linalg.inv(information)
    if not sample.several_scans:
        return inverse
    if sample.codes is None:
        return inverse * sample.scans / sample.people
    scores = np.zeros((sample.people, design.shape[1]))
    np.add.at(scores, sample.codes, design * residuals[:, None])
    return inverse @ (scores.T @ scores) @ inverse * sample.people / max(1, sample.people - 1)
