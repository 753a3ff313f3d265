"""Closed-form 95% CIs for a proportion, and for means and differences of independent estimates."""

import math
from collections.abc import Sequence

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
