"""Recalibration of probabilities on validation scans: Platt scaling."""

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from fedtune3d.evaluation.calibration import Calibration, calibration
from fedtune3d.evaluation.grid import LOGIT_LIMIT, MIDDLE_LOGITS
from fedtune3d.evaluation.sample import Sample

_STEPS = 100


@dataclass(frozen=True)
class PlattScaling:
    """Recalibrated logit = slope · logit + intercept.

    Attributes:
        slope: 1 leaves the spread of the probabilities as it is.
        intercept: 0 leaves them where they are.
        scans: Validation scans behind it: negative, positive.
    """

    slope: float
    intercept: float
    scans: tuple[int, int]

    @property
    def keeps_order(self) -> bool:
        """True if recalibration preserves the order of probabilities, and with it every verdict."""
        return self.slope > 0

    def probability(self, probability: float) -> float:
        """Recalibrate a probability in [0, 1]; logits are clipped to ±`LOGIT_LIMIT` before and after."""
        with np.errstate(divide="ignore"):
            logit = np.clip(np.log(probability) - np.log1p(-probability), -LOGIT_LIMIT, LOGIT_LIMIT)
        return float(expit(np.clip(self.slope * logit + self.intercept, -LOGIT_LIMIT, LOGIT_LIMIT)))

    def probability_beside(self, probability: float, threshold: float) -> float:
        """Recalibrate a probability, on the same side of the recalibrated threshold as before.

        It is at or above `self.probability(threshold)` if and only if it was at or above `threshold`: where rounding
        would make the two equal, the result is moved by the smallest possible step.

        Raises:
            ValueError: If the scaling reverses the order of probabilities.
        """
        if not self.keeps_order:
            raise ValueError(f"a slope of {self.slope:g} reverses the order of probabilities")
        scaled, cut = self.probability(probability), self.probability(threshold)
        if (scaled >= cut) == (probability >= threshold):
            return scaled
        return cut if probability >= threshold else math.nextafter(cut, 0.0)


@dataclass(frozen=True)
class Recalibrated:
    """The calibration on test scans after a scaling that was fitted on validation scans."""

    scaling: PlattScaling
    calibration: Calibration


def platt_scaling(counts: np.ndarray) -> PlattScaling | None:
    """Fit Platt scaling to validation scans; None if a class has none.

    The targets are (N₊ + 1)/(N₊ + 2) and 1/(N₋ + 2) in place of 1 and 0, so that the fit exists where the classes do
    not overlap, and is drawn towards the middle with few scans.

    Args:
        counts: (2, BINS) validation scans on the grid, negatives first.

    References:
        Platt, 1999, Advances in Large Margin Classifiers, 61–74, section 2.2. Lin, Lin and Weng, 2007, Mach. Learn.
        68:267–276.
    """
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    negatives, positives = (int(total) for total in counts.sum(axis=1))
    if not negatives or not positives:
        return None
    used = counts.reshape(-1) > 0
    logits = np.tile(MIDDLE_LOGITS, 2)[used]
    targets = np.repeat([1 / (negatives + 2), (positives + 1) / (positives + 2)], counts.shape[1])[used]
    design = np.stack([logits, np.ones(len(logits))], axis=1)
    model = GLM(targets, design, family=Binomial(), freq_weights=counts.reshape(-1)[used].astype(float))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a line that meets all targets, as through two points, is no mistake
        slope, intercept = model.fit(maxiter=_STEPS, tol=1e-12, tol_criterion="params").params
    return PlattScaling(float(slope), float(intercept), (negatives, positives))


def recalibrated(test: Sample, scaling: PlattScaling) -> Recalibrated:
    """Measure the calibration on test scans after scaling."""
    logits = np.clip(scaling.slope * test.logits + scaling.intercept, -LOGIT_LIMIT, LOGIT_LIMIT)
    return Recalibrated(scaling, calibration(replace(test, logits=logits)))
