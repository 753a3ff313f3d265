"""The score interval of an AUC, and of the mean of several sites' AUCs: one method for any number of people.

Newcombe's method 5 alone is accurate with few people, but too wide with many at a high AUC, where its model of the
scores does not hold, and where people have several scans. DeLong's variance is right with many people and useless with
few. The two meet in a variance ratio: DeLong's variance over Newcombe's, pulled towards 1 as `PRIOR_PEOPLE` people
would pull it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Protocol

from fedtune3d.evaluation.estimate import Z

PRIOR_PEOPLE = 15
"""People per class whose weight Newcombe's variance has against DeLong's; chosen by `benchmarks/coverage.py`."""
SCORE = "score interval, variance of {variance} shrunk to Newcombe's (2006, method 5), by participants"


class VarianceAt(Protocol):
    """The variance of an estimate as a function of the true value."""

    def at(self, theta: float) -> float:
        """The variance if `theta` were the true value."""


@dataclass(frozen=True)
class AucVariance:
    """The variance of a site's AUC as a function of the true AUC θ: `ratio` · `newcombe_variance`(θ).

    Attributes:
        ratio: Positive; 1 where DeLong's variance is not defined.
        negatives: People with a negative scan.
        positives: People with a positive scan.
    """

    ratio: float
    negatives: int
    positives: int

    def at(self, theta: float) -> float:
        """The variance if `theta` were the true AUC."""
        return self.ratio * newcombe_variance(theta, self.negatives, self.positives)


def newcombe_variance(theta: float, negatives: float, positives: float) -> float:
    """The variance of an AUC by its model: θ(1−θ) [1 + N*(1−θ)/(2−θ) + N* θ/(1+θ)] / (negatives · positives).

    N* = (negatives + positives)/2 − 1: Hanley and McNeil's variance under exponential scores, balanced.

    References:
        Newcombe, 2006, Stat. Med. 25:559–573, method 5. Hanley and McNeil, 1982, Radiology 143:29–36.
    """
    balanced = (negatives + positives) / 2 - 1
    spread = 1 + balanced * ((1 - theta) / (2 - theta) + theta / (1 + theta))
    return theta * (1 - theta) * spread / (negatives * positives)


def shrunken_variance(auc: float, delong: float | None, negatives: int, positives: int) -> AucVariance:
    """Combine DeLong's or Obuchowski's variance of an AUC with Newcombe's.

    ratio = (ν V_DeLong / V_Newcombe(θ̃) + c) / (ν + c), with ν people of the smaller class minus 1, c = `PRIOR_PEOPLE`
    and θ̃ = (AUC · n + ½) / (n + 1) of n = negatives · positives pairs of people, so that an AUC of 0 or 1 has one, too.

    Args:
        auc: The estimate, in [0, 1].
        delong: Its variance; None where it is not defined.
        negatives: People with a negative scan, at least 1.
        positives: People with a positive scan, at least 1.
    """
    degrees = min(negatives, positives) - 1
    if delong is None or degrees == 0:
        return AucVariance(1.0, negatives, positives)
    model = newcombe_variance(away_from_ends(auc, negatives, positives), negatives, positives)
    return AucVariance((degrees * delong / model + PRIOR_PEOPLE) / (degrees + PRIOR_PEOPLE), negatives, positives)


def away_from_ends(auc: float, negatives: float, positives: float) -> float:
    """The AUC with half a pair of people added on the right side and half on the wrong one."""
    pairs = negatives * positives
    return (auc * pairs + 0.5) / (pairs + 1)


def newcombe(auc: float, negatives: int, positives: int) -> tuple[float, float]:
    """Newcombe's interval (2006, method 5) of an AUC, from `newcombe_variance` alone.

    Args:
        auc: The estimate, in [0, 1].
        negatives: People of the negative class, at least 1.
        positives: People of the positive class, at least 1.
    """
    return auc_interval(auc, AucVariance(1.0, negatives, positives))


def auc_interval(auc: float, variance: AucVariance) -> tuple[float, float]:
    """The 95% score interval of an AUC: the θ with (θ − AUC)² = z² V(θ)."""
    return mean_auc_interval([auc], [variance])


def mean_auc_interval(
    aucs: Sequence[float], variances: Sequence[VarianceAt], correlations: Sequence[Sequence[float]] | None = None
) -> tuple[float, float]:
    """The 95% score interval of the plain mean of AUCs: the θ with (θ − mean)² = z² Σᵢⱼ rᵢⱼ √(Vᵢ(θ) Vⱼ(θ)) / k².

    All sites' variances are taken at one θ. Where the sites' true AUCs differ, the sum is rather too great, as the
    variance is concave, so the interval is on the wide side.

    Args:
        aucs: The sites' AUCs.
        variances: Their variances.
        correlations: rᵢⱼ; None if the AUCs are independent.
    """
    mean = math.fsum(aucs) / len(aucs)

    def spread(theta: float) -> float:
        at = [variance.at(theta) for variance in variances]
        if correlations is None:
            return math.fsum(at) / len(at) ** 2
        deviations = [math.sqrt(variance) for variance in at]
        rows = [math.fsum(map(mul, row, deviations)) for row in correlations]
        return math.fsum(map(mul, deviations, rows)) / len(at) ** 2

    return score_interval(mean, spread)


def score_interval(estimate: float, variance: Callable[[float], float]) -> tuple[float, float]:
    """The θ in [0, 1] with (θ − estimate)² = z² V(θ), for a variance that is the same at θ and 1 − θ, as Newcombe's."""
    return _lower(estimate, variance), 1 - _lower(1 - estimate, variance)


def _lower(estimate: float, variance: Callable[[float], float]) -> float:
    from scipy.optimize import brentq

    if estimate <= 0:
        return 0.0

    def excess(theta: float) -> float:
        return (theta - estimate) ** 2 - Z**2 * variance(theta)

    return float(brentq(excess, 0.0, min(1.0, estimate) * (1 - 1e-12)))
