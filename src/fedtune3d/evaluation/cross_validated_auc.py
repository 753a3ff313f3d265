"""The cross-validated AUC of two classes, or macro AUC of more: the mean within folds, with its interval.

An AUC is computed within each fold and averaged, because the scores of different models are not comparable: ordering
all scans by pooled scores also orders the models, which biases the AUC (Forman and Scholz 2010; Airola et al. 2011).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedtune3d.evaluation.auc_interval import AucVariance, score_interval
from fedtune3d.evaluation.cross_validated import (
    CORRECTED,
    CrossValidated,
    FoldNumber,
    FoldValue,
    inflation_of,
    with_spread,
)
from fedtune3d.evaluation.estimate import FEW, Estimate, defined, undefined
from fedtune3d.evaluation.multiclass.mean_auc import MeanAucVariance

METHOD = f"mean of the {{aucs}} within folds, score interval from the folds' variances, {CORRECTED}"
"""Of the intervals; docs/evaluation.md says what they cover."""


@dataclass(frozen=True)
class FoldAuc:
    """The AUC of a fold's test scans at a site.

    Attributes:
        repeat: Number of the repeat, from 1.
        fold: Number of the fold in it, from 1.
        auc: None if the fold has no test scans of a class.
        variance: Its variance, given the model: of an AUC, or of a macro AUC; None without one.
    """

    repeat: int
    fold: int
    auc: float | None
    variance: AucVariance | MeanAucVariance | None


def cross_validated_auc(sites: Mapping[str, Sequence[FoldAuc]], missing: str = "", classes: int = 2) -> CrossValidated:
    """Average the AUCs within folds, of one site or over several: the plain mean over sites of their means over folds.

    Given the models, the variance of a site's mean over the J folds of R repeats is R Σ Vᵢ(θ) / J²: the folds of a
    repeat test different people, and repeats test the same people again, which adds no certainty about people. Sites
    are independent. The `inflation` for the chance of training follows. The interval holds each θ with
    (θ − mean)² ≤ z² V(θ), as `auc_interval.mean_auc_interval`. That of a macro AUC differs in Vᵢ(θ) only, which is the
    variance of a mean of correlated AUCs (`MeanAucVariance`).

    Args:
        sites: Site → its folds.
        missing: Why there is no estimate yet; empty if there is one.
        classes: Number of classes.

    References:
        LeDell, Petersen and van der Laan, 2015, Electron. J. Stat. 9:1583–1607: the variance of a cross-validated AUC,
        given the models, from that within folds.
    """
    values = {site: [FoldValue(fold.repeat, fold.fold, fold.auc) for fold in folds] for site, folds in sites.items()}
    return with_spread(values, undefined(missing) if missing else _estimate(sites, classes))


def _estimate(sites: Mapping[str, Sequence[FoldAuc]], classes: int) -> Estimate:
    with_auc = {site: [fold for fold in folds if fold.variance is not None] for site, folds in sites.items()}
    known = [folds for folds in with_auc.values() if folds]
    if not known:
        return undefined(f"no fold has test scans of {'both classes' if classes == 2 else 'every class'}")

    factor = inflation_of([FoldNumber(fold.repeat, fold.fold) for folds in sites.values() for fold in folds])

    def variance(theta: float) -> float:
        return factor * math.fsum(_variance_of(folds, theta) for folds in known) / len(known) ** 2

    value = math.fsum(_mean_of(folds) for folds in known) / len(known)
    few = any(min(_people(folds)) < FEW for folds in known)
    method = METHOD.format(aucs="AUCs" if classes == 2 else "macro AUCs")
    return defined(value, score_interval(value, variance), method, few)


def _mean_of(folds: Sequence[FoldAuc]) -> float:
    return math.fsum(fold.auc for fold in folds if fold.auc is not None) / len(folds)


def _variance_of(folds: Sequence[FoldAuc], theta: float) -> float:
    """The variance of the mean of a site's folds, if `theta` were the true AUC."""
    repeats = len({fold.repeat for fold in folds})
    return repeats * math.fsum(fold.variance.at(theta) for fold in folds if fold.variance) / len(folds) ** 2


def _people(folds: Sequence[FoldAuc]) -> tuple[int, ...]:
    """The people of each class, and against each class, that a repeat tests at a site: in the first of its repeats."""
    variances = [fold.variance for fold in folds if fold.variance and fold.repeat == folds[0].repeat]
    parts = [variance.parts if isinstance(variance, MeanAucVariance) else (variance,) for variance in variances]
    by_fold = [[people for part in fold for people in (part.negatives, part.positives)] for fold in parts]
    return tuple(map(sum, zip(*by_fold, strict=True)))
