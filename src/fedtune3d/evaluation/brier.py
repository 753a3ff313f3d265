"""The Brier score of test scans, with its 95% CI."""

import math

from fedtune3d.evaluation.estimate import Estimate, defined
from fedtune3d.evaluation.sample import Sample

PRIOR_PEOPLE = 2
"""People whose weight the greatest possible variance has against the observed one."""
METHOD = "score interval, observed variance shrunk to the greatest possible one, t, participants as clusters"


def brier_score(sample: Sample) -> Estimate:
    """The mean squared difference of probability and label, with an interval inside [0, 1].

    The variance of one person's squared error at a mean of θ is taken as θ(1 − θ) · r, the greatest possible at r = 1.
    r is the observed variance over the greatest one, pulled towards 1 as `PRIOR_PEOPLE` people would, because a few
    people show nothing of a model's rare great errors. The limits are then Wilson's, with Student's t for z.

    Args:
        sample: At least one scan.

    References:
        Brier, 1950, Mon. Weather Rev. 78:1–3; Wilson, 1927, J. Am. Stat. Assoc. 22:209–212.
    """
    errors = (sample.probabilities - sample.labels) ** 2
    mean = float(sample.weights @ errors / sample.scans)
    variance = sample.variance_of_sum(errors - mean) / sample.scans**2
    limits = unit_interval(mean, variance, sample.people)
    return defined(mean, limits, f"{METHOD}; {sample.source}", sample.few)


def unit_interval(mean: float, variance: float, people: int) -> tuple[float, float]:
    """The 95% CI, inside [0, 1], of the mean of values in [0, 1], as `brier_score` describes it.

    Args:
        mean: The mean over scans.
        variance: Its variance, people as clusters.
        people: Number of people, at least 1.
    """
    from scipy.stats import t as student

    inside = (mean * people + 0.25) / (people + 1)
    greatest = inside * (1 - inside)
    ratio = (max(0, people - 1) * (variance * people) / greatest + PRIOR_PEOPLE) / (max(0, people - 1) + PRIOR_PEOPLE)
    z = float(student.ppf(0.975, max(1, people - 1)))
    spread = z**2 * ratio / people
    half_width = math.sqrt(mean * (1 - mean) * spread + spread**2 / 4)
    low, high = ((mean + spread / 2 + sign * half_width) / (1 + spread) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)
