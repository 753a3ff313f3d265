"""Closed-form 95% CIs for a proportion, an AUC from few people, and a mean of independent estimates."""

import math
from collections.abc import Sequence

from scipy.optimize import brentq

from fedtune3d.evaluation.estimate import Z


def wilson(proportion: float, n: float) -> tuple[float, float]:
    """Compute the score interval of a proportion from `n` > 0 independent observations.

    References:
        Wilson, 1927, J. Am. Stat. Assoc. 22:209–212.
    """
    centre = proportion + Z**2 / (2 * n)
    half_width = Z * math.sqrt(proportion * (1 - proportion) / n + Z**2 / (4 * n**2))
    scale = 1 + Z**2 / n
    return max(0.0, (centre - half_width) / scale), min(1.0, (centre + half_width) / scale)


def newcombe(auc: float, negatives: int, positives: int) -> tuple[float, float]:
    """Compute the score-type interval of an AUC: the θ with (θ − AUC)² = z² V(θ).

    V(θ) = θ(1−θ) [1 + N*(1−θ)/(2−θ) + N* θ/(1+θ)] / (negatives · positives), N* = (negatives + positives)/2 − 1:
    Hanley and McNeil's variance, balanced, and evaluated at the limit rather than at the estimate, so that an AUC of 0
    or 1 still has an interval that depends on the number of people. This is the method that the paper recommends; its
    coverage with 3 to 9 people per class is simulated in the tests.

    Args:
        auc: The estimate, in [0, 1].
        negatives: People of the negative class, at least 1.
        positives: People of the positive class, at least 1.

    References:
        Newcombe, 2006, Stat. Med. 25:559–573, method 5. Hanley and McNeil, 1982, Radiology 143:29–36.
    """
    # V is symmetric in θ and 1 − θ.
    return _newcombe_lower(auc, negatives, positives), 1 - _newcombe_lower(1 - auc, negatives, positives)


def _newcombe_lower(auc: float, negatives: int, positives: int) -> float:
    if auc == 0:
        return 0.0
    balanced = (negatives + positives) / 2 - 1

    def excess(theta: float) -> float:
        spread = 1 + balanced * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (theta - auc) ** 2 - Z**2 * theta * (1 - theta) * spread / (negatives * positives)

    return float(brentq(excess, 0.0, auc * (1 - 1e-12)))


def mean_interval(values: Sequence[float], lows: Sequence[float], highs: Sequence[float]) -> tuple[float, float]:
    """Compute the interval of the unweighted mean of independent estimates from their intervals (MOVER).

    low = mean − √Σ(value − low)² / k and high = mean + √Σ(high − value)² / k: each estimate's variance is recovered
    from the relevant side of its interval, so asymmetric intervals stay asymmetric and their methods may differ.

    References:
        Zou, Huang and Zhang, 2009, Comput. Stat. Data Anal. 53:1080–1085, for linear functions of estimates;
        Zou and Donner, 2008, Stat. Med. 27:1693–1702.
    """
    count = len(values)
    mean = math.fsum(values) / count
    below = math.sqrt(math.fsum((value - low) ** 2 for value, low in zip(values, lows, strict=True))) / count
    above = math.sqrt(math.fsum((high - value) ** 2 for value, high in zip(values, highs, strict=True))) / count
    return max(0.0, mean - below), min(1.0, mean + above)


def difference_interval(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Compute the interval of first − second for independent estimates given as (value, low, high) (MOVER).

    With Wilson's limits of two proportions, this is Newcombe's method 10.

    References:
        Zou and Donner, 2008, Stat. Med. 27:1693–1702; Newcombe, 1998, Stat. Med. 17:873–890.
    """
    (value, low, high), (other, other_low, other_high) = first, second
    difference = value - other
    below, above = math.hypot(value - low, other_high - other), math.hypot(high - value, other - other_low)
    return difference - below, difference + above
