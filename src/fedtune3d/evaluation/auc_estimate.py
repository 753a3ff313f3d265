"""The AUC of test scans with its 95% CI: by the score interval or by the published study's bootstrap."""

from typing import Literal

import numpy as np

from fedtune3d.evaluation.auc import DRAWS, area_under_curve, bootstrap_auc, participant_strata, percentile_interval
from fedtune3d.evaluation.auc_interval import SCORE, AucVariance, auc_interval, newcombe, shrunken_variance
from fedtune3d.evaluation.delong import (
    auc_and_variance,
    auc_and_variance_from_counts,
    method_name,
)
from fedtune3d.evaluation.estimate import FEW, Estimate, defined, undefined
from fedtune3d.evaluation.predictions import Predictions, participants_by_class, why_undefined

AucInterval = Literal["score", "bootstrap"]
"""Method of the CI of an AUC."""
BOOTSTRAP = f"percentile bootstrap by participant within class, {DRAWS} draws"
NEWCOMBE = "Newcombe 2006 method 5, by participants"


def auc_estimate(predictions: Predictions, interval: AucInterval, rng: np.random.Generator) -> Estimate:
    """The AUC with its 95% CI; marked 'few' with under `FEW` participants in a class.

    Args:
        predictions: The test scans.
        interval: ``"score"`` (`auc_interval.auc_interval`), or ``"bootstrap"``: the percentile bootstrap by participant
            within class, and Newcombe's method 5, marked 'few', where the bootstrap is worthless: with under `FEW`
            participants in a class, or at an AUC of 0 or 1, where it has no width.
        rng: Of the bootstrap.
    """
    missing = why_undefined(*np.bincount(predictions.labels, minlength=2))
    if missing:
        return undefined(missing)
    counts = participants_by_class(predictions)
    if interval == "score":
        auc, variance = auc_and_variance(predictions)
        limits = auc_interval(auc, shrunken_variance(auc, variance, *counts))
        return defined(auc, limits, score_method(predictions), few=min(counts) < FEW)
    value = area_under_curve(predictions.labels, predictions.probabilities)
    if min(counts) < FEW or value in (0, 1):
        return defined(value, newcombe(value, *counts), NEWCOMBE, few=True)
    draws = bootstrap_auc(predictions, participant_strata(predictions), rng)
    return defined(value, percentile_interval(draws), BOOTSTRAP, few=False)


def variance_of(predictions: Predictions) -> AucVariance | None:
    """The variance behind the score interval of an AUC; None where a class has no scan."""
    if why_undefined(*np.bincount(predictions.labels, minlength=2)) is not None:
        return None
    auc, variance = auc_and_variance(predictions)
    return shrunken_variance(auc, variance, *participants_by_class(predictions))


def score_estimate_from_counts(
    negatives: np.ndarray, positives: np.ndarray, participants: tuple[int, int], source: str
) -> Estimate:
    """The AUC of counts on ascending bins with its score interval; undefined where a class has no scan.

    Args:
        negatives: (bins,) counts.
        positives: (bins,) counts.
        participants: People with a negative scan, and with a positive one.
        source: What was counted, for the method's name.
    """
    missing = why_undefined(int(negatives.sum()), int(positives.sum()))
    if missing:
        return undefined(missing)
    auc, variance = auc_and_variance_from_counts(negatives, positives, participants)
    limits = auc_interval(auc, shrunken_variance(auc, variance, *participants))
    return defined(auc, limits, f"{SCORE.format(variance='DeLong')}; {source}", few=min(participants) < FEW)


def score_method(predictions: Predictions) -> str:
    """The name of the score interval: with DeLong's variance, or with Obuchowski's where people have several scans."""
    return SCORE.format(variance=method_name(predictions).split()[0])
