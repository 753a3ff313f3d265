"""Positive and negative predictive values at stated prevalences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedtune3d.evaluation.confusion import NO_SCANS, NO_THRESHOLD, Confusion, Fraction
from fedtune3d.evaluation.estimate import FEW, Estimate, Z, defined, undefined

PREVALENCES = (0.05, 0.2, 0.5)
"""From a low prevalence, as in the community, to that of a specialised clinic. None of them is that of a given clinic,
so that a study states its own."""
METHOD = "Bayes at a known prevalence, Koopman's score interval of the likelihood ratio, by participants"
NONE_POSITIVE, NONE_NEGATIVE = "no scan reaches the threshold", "every scan reaches the threshold"
_FAR = 40.0
"""Beyond the logarithm of every ratio of two shares."""


@dataclass(frozen=True)
class PredictiveValues:
    """Predictive values at a prevalence.

    Attributes:
        prevalence: The share of positive scans.
        of_test_set: Whether it is the share in the test set, so that the values are shares of test scans.
        positive: Probability that a scan called positive is positive.
        negative: Probability that a scan called negative is negative.
    """

    prevalence: float
    of_test_set: bool
    positive: Estimate
    negative: Estimate


def predictive_values(
    confusion: Confusion | None, participants: tuple[int, int], prevalences: Sequence[float] = PREVALENCES
) -> tuple[PredictiveValues, ...]:
    """Compute the predictive values at the test set's share of positive scans, if it has both classes, then at others.

    By Bayes, PPV = π s / (π s + (1 − π)(1 − c)) with prevalence π, sensitivity s and specificity c; NPV likewise. For a
    known π both increase with a likelihood ratio, s / (1 − c) or c / (1 − s), so the limits of its score interval are
    those of the predictive value. The numbers of observations are those of people, which is conservative if people have
    several scans.

    Args:
        confusion: Test scans by class and verdict; None without a threshold.
        participants: Numbers of people with a negative scan and with a positive scan.
        prevalences: The prevalences, each in (0, 1).

    References:
        Koopman, 1984, Biometrics 40:513–517; Altman and Bland, 1994, BMJ 309:102 (Bayes).
    """
    found = [_at(prevalence, confusion, participants, of_test_set=False) for prevalence in prevalences]
    if confusion is not None and confusion.sensitivity.total and confusion.specificity.total:
        found.insert(0, _at(confusion.sensitivity.total / confusion.scans, confusion, participants, of_test_set=True))
    return tuple(found)


def _at(
    prevalence: float, confusion: Confusion | None, participants: tuple[int, int], of_test_set: bool
) -> PredictiveValues:
    why = _why_undefined(confusion)
    if why or confusion is None:
        return PredictiveValues(prevalence, of_test_set, undefined(why), undefined(why))
    sensitivity, specificity = confusion.sensitivity, confusion.specificity
    negative_people, positive_people = participants
    odds = prevalence / (1 - prevalence)
    false_positives = Fraction(confusion.false_positives, specificity.total)
    false_negatives = Fraction(confusion.false_negatives, sensitivity.total)
    positive = _estimate(odds, (sensitivity, positive_people), (false_positives, negative_people), NONE_POSITIVE)
    negative = _estimate(1 / odds, (specificity, negative_people), (false_negatives, positive_people), NONE_NEGATIVE)
    return PredictiveValues(prevalence, of_test_set, positive, negative)


def _why_undefined(confusion: Confusion | None) -> str:
    if confusion is None:
        return NO_THRESHOLD
    if confusion.scans == 0:
        return NO_SCANS
    if not confusion.sensitivity.total:
        return "no positive test scans"
    return "" if confusion.specificity.total else "no negative test scans"


def _estimate(odds: float, right: tuple[Fraction, int], wrong: tuple[Fraction, int], nobody: str) -> Estimate:
    """Estimate the share of the right among scans with a verdict; each is a fraction of its class with its people.

    It is undefined, for the reason `nobody`, if no scan has this verdict.
    """
    if right[0].count == wrong[0].count == 0:
        return undefined(nobody)
    (first, first_people), (second, second_people) = right, wrong
    first_share, second_share = first.count / first.total, second.count / second.total
    value = odds * first_share / (odds * first_share + second_share)
    limits = ratio_interval(first_share, first_people, second_share, second_people)
    low, high = (_share(odds, ratio) for ratio in limits)
    return defined(value, (low, high), METHOD, few=min(first_people, second_people) < FEW)


def _share(odds: float, ratio: float) -> float:
    return 1.0 if math.isinf(ratio) else odds * ratio / (1 + odds * ratio)


def ratio_interval(first: float, first_n: float, second: float, second_n: float) -> tuple[float, float]:
    """Compute the score interval of the ratio of two independent proportions, not both 0; the upper limit may be ∞.

    It holds every φ at which |first − φ second| is at most z standard errors, these from the proportions that are most
    likely among those of ratio φ.

    Args:
        first: Proportion of `first_n` > 0 observations.
        first_n: Number of observations, not necessarily whole.
        second: Proportion of `second_n` > 0 observations.
        second_n: Number of observations.

    References:
        Koopman, 1984, Biometrics 40:513–517; Nam, 1995, Biometrics 51:1184–1187 (the equivalent score method).
    """
    from scipy.optimize import brentq

    successes = first * first_n + second * second_n

    def excess(log_ratio: float, target: float) -> float:
        """The signed number of standard errors by which `first` is above its expectation, minus the target."""
        ratio = math.exp(log_ratio)
        total = ratio * (first_n + second * second_n) + first * first_n + second_n
        root = math.sqrt(max(0.0, total**2 - 4 * ratio * (first_n + second_n) * successes))
        likely_second = 2 * successes / (total + root)
        likely_first = min(1.0, ratio * likely_second)
        variance = (
            likely_first * (1 - likely_first) / first_n + ratio**2 * likely_second * (1 - likely_second) / second_n
        )
        return (first - ratio * second) / math.sqrt(max(variance, 1e-300)) - target

    low = 0.0 if first == 0 else math.exp(brentq(excess, -_FAR, _FAR, args=(Z,), xtol=1e-13))
    high = math.inf if second == 0 else math.exp(brentq(excess, -_FAR, _FAR, args=(-Z,), xtol=1e-13))
    return low, high
