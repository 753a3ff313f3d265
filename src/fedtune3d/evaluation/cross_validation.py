"""The results of a cross-validation: the AUC within folds, its interval, and calibration out of fold.

The target is the expected AUC of the training procedure at the size of a fold's training set. An AUC is computed within
each fold and averaged, because the scores of different models are not comparable: ordering all scans by pooled scores
also orders the models, which biases the AUC (Forman and Scholz 2010; Airola et al. 2011).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numpy as np

from fedtune3d._utils.folders import CrossValidationFolder, RunFolder
from fedtune3d._utils.typed_json import read_typed
from fedtune3d.evaluation.auc_interval import AucVariance, score_interval
from fedtune3d.evaluation.calibration import calibration
from fedtune3d.evaluation.checked_summary import CheckedSummary
from fedtune3d.evaluation.estimate import FEW, Estimate, defined, undefined
from fedtune3d.evaluation.sample import Sample
from fedtune3d.evaluation.summary import Summary

METHOD = (
    "mean of the AUCs within folds, score interval from the folds' variances, corrected for shared training people "
    "(Nadeau and Bengio 2003)"
)
"""Of the intervals; docs/evaluation.md says what they cover."""


class FoldNumber(NamedTuple):
    """The repeat and the fold in it, both from 1."""

    repeat: int
    fold: int


FoldSummaries = Mapping[FoldNumber, Mapping[str, Mapping[str, Summary]]]
"""Fold → site → method → the summary of the predictions of the fold's test scans."""


@dataclass(frozen=True)
class FoldAuc:
    """The AUC of a fold's test scans.

    Attributes:
        repeat: Number of the repeat, from 1.
        fold: Number of the fold in it, from 1.
        auc: None if the fold has no test scans of a class.
        variance: Its variance, given the model; None without an AUC, and for a mean over sites.
    """

    repeat: int
    fold: int
    auc: float | None
    variance: AucVariance | None


@dataclass(frozen=True)
class CrossValidatedAuc:
    """The mean of the AUCs within folds, with its interval, and their spread.

    Attributes:
        estimate: The mean with its 95% CI; undefined until all folds are finished.
        folds: The AUC of each fold that is finished, by repeat and fold.
        sd_folds: Standard deviation (n − 1) over the folds of a repeat, root mean square over repeats; None if no
            repeat has two AUCs.
        sd_repeats: Standard deviation (n − 1) of the repeats' means; None with one repeat.
    """

    estimate: Estimate
    folds: tuple[FoldAuc, ...]
    sd_folds: float | None
    sd_repeats: float | None

    @property
    def values(self) -> list[float]:
        """The AUCs of the folds that have one."""
        return [fold.auc for fold in self.folds if fold.auc is not None]


@dataclass(frozen=True)
class OutOfFoldCalibration:
    """Calibration of the predictions of all folds of a repeat together, in which everybody is predicted once.

    With several repeats, the means over repeats of the values and of the limits.
    """

    slope: Estimate
    intercept: Estimate
    brier: Estimate


@dataclass(frozen=True)
class CrossValidatedMethod:
    """The results of a method, such as ``federated``.

    Attributes:
        sites: Site → its AUC.
        mean: The mean over the sites that have an AUC.
        calibration: Site → calibration of its out-of-fold predictions, and ``Pooled`` → that of all sites'; empty until
            all folds are finished.
    """

    sites: Mapping[str, CrossValidatedAuc]
    mean: CrossValidatedAuc
    calibration: Mapping[str, OutOfFoldCalibration]


@dataclass(frozen=True)
class CrossValidationResults:
    """The results of a cross-validation: the content of `cross_validation.json`.

    Attributes:
        version: Version of this format.
        experiment: The experiment's name.
        folds: Number of folds in a repeat.
        repeats: Number of repeats.
        sites: The sites, in the order of the experiment.
        faults: Name of a fold → why its run failed.
        methods: Method → its results; empty before the first fold is finished.
    """

    version: Literal[1]
    experiment: str
    folds: int
    repeats: int
    sites: tuple[str, ...]
    faults: Mapping[str, str]
    methods: Mapping[str, CrossValidatedMethod]

    @classmethod
    def read(cls, folder: CrossValidationFolder) -> Self:
        """Read the results in a folder. Raises `InputError` if they are missing or damaged."""
        return read_typed(cls, folder.results, "`fedtune3d report` makes it again from the folds")


def read_summaries(run: RunFolder, sites: Sequence[str]) -> dict[str, Mapping[str, Summary]] | None:
    """Read site → method → summary of a run; None before its end. Raises `InputError` if a file is damaged."""
    if not run.metrics.exists():
        return None
    paths = {site: run.summary(site) for site in sites if run.summary(site).exists()}
    return {site: read_typed(dict[str, Summary], path, "run it again with --resume") for site, path in paths.items()}


def all_folds(folds: int, repeats: int) -> list[FoldNumber]:
    """Return all folds of all repeats, in order."""
    return [FoldNumber(repeat, fold) for repeat in range(1, repeats + 1) for fold in range(1, folds + 1)]


def cross_validated_methods(
    summaries: FoldSummaries, sites: Sequence[str], expected: Sequence[FoldNumber]
) -> dict[str, CrossValidatedMethod]:
    """Combine the folds of a cross-validation, by method; a method that a fold lacks is left out.

    Args:
        summaries: The folds that are finished.
        sites: The sites.
        expected: All folds; with fewer of them, nothing is estimated.

    Raises:
        InputError: If a summary is inconsistent, with the site's name.
    """
    by_fold = [set().union(*by_site.values()) for by_site in summaries.values()]
    methods = sorted(set.intersection(*by_fold)) if by_fold else []
    return {method: _method(summaries, method, sites, expected) for method in methods}


def _method(
    summaries: FoldSummaries, method: str, sites: Sequence[str], expected: Sequence[FoldNumber]
) -> CrossValidatedMethod:
    checked = {
        number: {site: CheckedSummary.of(site, sent[method]) for site, sent in by_site.items() if method in sent}
        for number, by_site in sorted(summaries.items())
    }
    by_site = {site: [_fold_auc(number, parts.get(site)) for number, parts in checked.items()] for site in sites}
    done = len(set(expected) & checked.keys())
    missing = "" if done == len(expected) else f"{done} of {len(expected)} folds are finished"
    return CrossValidatedMethod(
        sites={site: cross_validated_auc({site: folds}, missing) for site, folds in by_site.items()},
        mean=cross_validated_auc(by_site, missing),
        calibration={} if missing else _calibrations(checked, sites),
    )


def _fold_auc(number: FoldNumber, summary: CheckedSummary | None) -> FoldAuc:
    if summary is None or summary.test.auc.value is None:
        return FoldAuc(*number, None, None)
    return FoldAuc(*number, summary.test.auc.value, summary.auc_variance)


def cross_validated_auc(sites: Mapping[str, Sequence[FoldAuc]], missing: str = "") -> CrossValidatedAuc:
    """Average the AUCs within folds, of one site or over several: the plain mean over sites of their means over folds.

    Given the models, the variance of a site's mean over the J folds of R repeats is R Σ Vᵢ(θ) / J²: the folds of a
    repeat test different people, and repeats test the same people again, which adds no certainty about people. Sites
    are independent. The `inflation` for the chance of training follows. The interval holds each θ with
    (θ − mean)² ≤ z² V(θ), as `auc_interval.mean_auc_interval`.

    Args:
        sites: Site → its folds.
        missing: Why there is no estimate yet; empty if there is one.

    References:
        LeDell, Petersen and van der Laan, 2015, Electron. J. Stat. 9:1583–1607: the variance of a cross-validated AUC,
        given the models, from that within folds.
    """
    shown = _mean_over_sites(sites)
    by_repeat: dict[int, list[float]] = {}
    for fold in shown:
        if fold.auc is not None:
            by_repeat.setdefault(fold.repeat, []).append(fold.auc)
    spreads = [float(np.var(aucs, ddof=1)) for aucs in by_repeat.values() if len(aucs) > 1]
    means = [math.fsum(aucs) / len(aucs) for aucs in by_repeat.values()]
    return CrossValidatedAuc(
        estimate=undefined(missing) if missing else _estimate(sites),
        folds=tuple(shown),
        sd_folds=math.sqrt(math.fsum(spreads) / len(spreads)) if spreads else None,
        sd_repeats=float(np.std(means, ddof=1)) if len(means) > 1 else None,
    )


def _estimate(sites: Mapping[str, Sequence[FoldAuc]]) -> Estimate:
    with_auc = {site: [fold for fold in folds if fold.variance is not None] for site, folds in sites.items()}
    known = [folds for folds in with_auc.values() if folds]
    if not known:
        return undefined("no fold has test scans of both classes")

    everything = [fold for folds in sites.values() for fold in folds]
    factor = inflation(max(fold.fold for fold in everything), max(fold.repeat for fold in everything))

    def variance(theta: float) -> float:
        return factor * math.fsum(_variance_of(folds, theta) for folds in known) / len(known) ** 2

    value = math.fsum(_mean_of(folds) for folds in known) / len(known)
    few = any(min(_people(folds)) < FEW for folds in known)
    return defined(value, score_interval(value, variance), METHOD, few)


def inflation(folds: int, repeats: int) -> float:
    """Return 1/R + K/(K − 1): the factor of the variance that K folds of R repeats have, given the models.

    Nadeau and Bengio's corrected resampled variance is (1/J + n_test/n_train) σ², with J = K R folds, n_test/n_train =
    1/(K − 1), and σ² the variance of one fold, here that of its test people: K times that of the mean over a repeat.

    References:
        Nadeau and Bengio, 2003, Machine Learning 52:239–281, section 3.
    """
    return 1 / repeats + folds / (folds - 1)


def _mean_of(folds: Sequence[FoldAuc]) -> float:
    return math.fsum(fold.auc for fold in folds if fold.auc is not None) / len(folds)


def _variance_of(folds: Sequence[FoldAuc], theta: float) -> float:
    """The variance of the mean of a site's folds, if `theta` were the true AUC."""
    repeats = len({fold.repeat for fold in folds})
    return repeats * math.fsum(fold.variance.at(theta) for fold in folds if fold.variance) / len(folds) ** 2


def _people(folds: Sequence[FoldAuc]) -> tuple[int, int]:
    """The people of each class that a repeat tests at a site, (negative, positive): in the first of its repeats."""
    variances = [fold.variance for fold in folds if fold.variance and fold.repeat == folds[0].repeat]
    return sum(part.negatives for part in variances), sum(part.positives for part in variances)


def _mean_over_sites(sites: Mapping[str, Sequence[FoldAuc]]) -> list[FoldAuc]:
    """Each fold with the mean AUC over the sites that have one; the folds themselves if there is one site."""
    if len(sites) == 1:
        return list(next(iter(sites.values())))
    by_fold: dict[FoldNumber, list[float]] = {}
    for folds in sites.values():
        for fold in folds:
            known = by_fold.setdefault(FoldNumber(fold.repeat, fold.fold), [])
            known += [] if fold.auc is None else [fold.auc]
    return [
        FoldAuc(*number, math.fsum(known) / len(known) if known else None, None)
        for number, known in sorted(by_fold.items())
    ]


def _calibrations(
    checked: Mapping[FoldNumber, Mapping[str, CheckedSummary]], sites: Sequence[str]
) -> dict[str, OutOfFoldCalibration]:
    parts = {site: [site] for site in sites} | {"Pooled": list(sites)}
    return {
        name: _calibration(
            {number: [by_site[site] for site in used if site in by_site] for number, by_site in checked.items()}
        )
        for name, used in parts.items()
    }


def _calibration(folds: Mapping[FoldNumber, Sequence[CheckedSummary]]) -> OutOfFoldCalibration:
    by_repeat: dict[int, list[CheckedSummary]] = {}
    for number, summaries in folds.items():
        by_repeat.setdefault(number.repeat, []).extend(summaries)
    found = [calibration(_sample(summaries)) for summaries in by_repeat.values() if summaries]
    return OutOfFoldCalibration(
        slope=_over_repeats([part.slope for part in found]),
        intercept=_over_repeats([part.intercept for part in found]),
        brier=_over_repeats([part.brier for part in found]),
    )


def _sample(summaries: Sequence[CheckedSummary]) -> Sample:
    """The test scans of the folds of a repeat, from their counts on the grid."""
    negative, positive = np.sum([part.test.participants_by_class for part in summaries], axis=0)
    counts = np.sum([part.test_counts for part in summaries], axis=0)
    return Sample.of_counts(counts, (int(negative), int(positive)), sum(part.test.participants for part in summaries))


def _over_repeats(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of the values and of the limits; undefined if one of them is."""
    limits = [estimate.limits for estimate in estimates]
    known = [limit for limit in limits if limit is not None]
    if not known or len(known) < len(limits):
        reasons = [estimate.undefined for estimate in estimates if estimate.undefined]
        return undefined(reasons[0] if reasons else "no test scans, or too few for the policy")
    value, low, high = (float(mean) for mean in np.mean(known, axis=0))
    return defined(value, (low, high), estimates[0].method, few=any(estimate.mark for estimate in estimates))
