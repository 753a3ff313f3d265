"""Combination of the sites' summaries into the metrics of a method, at the server."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.evaluation.auc_estimate import AucInterval
from fedtune3d.evaluation.calibration import calibration
from fedtune3d.evaluation.checked_summary import CheckedSummary
from fedtune3d.evaluation.classification import OperatingPoint, operating_point
from fedtune3d.evaluation.confusion import NO_THRESHOLD, Confusion, accuracy
from fedtune3d.evaluation.decision_curve import decision_curve
from fedtune3d.evaluation.delong import delong_estimate, delong_from_counts
from fedtune3d.evaluation.estimate import FEW, Estimate
from fedtune3d.evaluation.grid import auc_error_bound
from fedtune3d.evaluation.groups import AxisMetrics, combine_groups, gaps
from fedtune3d.evaluation.heterogeneity import heterogeneity
from fedtune3d.evaluation.mean_over_sites import mean_over_sites
from fedtune3d.evaluation.membership import membership_metrics
from fedtune3d.evaluation.metrics import AtSpecificity, MethodMetrics, PooledMetrics, TestMetrics
from fedtune3d.evaluation.overlap import NOBODY_SHARED, Overlap
from fedtune3d.evaluation.pooled_auc import pooled_auc, strata_by_site
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.predictive_values import PREVALENCES, PredictiveValues, predictive_values
from fedtune3d.evaluation.recalibration import Recalibrated, platt_scaling, recalibrated
from fedtune3d.evaluation.reliability import calibration_curve
from fedtune3d.evaluation.roc import RocCurve, roc_curve
from fedtune3d.evaluation.sample import Sample
from fedtune3d.evaluation.scale import finest_counts
from fedtune3d.evaluation.scan_rows import pool_if_shared
from fedtune3d.evaluation.summary import Summary
from fedtune3d.evaluation.threshold import choose_threshold, threshold_at_specificity, why_not_specific

SPECIFICITY = 0.9
"""Sensitivity is also reported at the threshold with this specificity on the validation scans."""


class _Thresholds(NamedTuple):
    """The threshold with the highest Youden's J, and the one at `SPECIFICITY`; None if there is none.

    Attributes:
        why_not_specific: Why there is no threshold at `SPECIFICITY`, if there is none.
    """

    youden: float | None
    at_specificity: float | None
    why_not_specific: str


class _OperatingPoints(NamedTuple):
    """A model's operating points on test scans at both thresholds, and what follows from the first."""

    at_threshold: OperatingPoint
    accuracy: Estimate
    confusion: Confusion | None
    predictive_values: tuple[PredictiveValues, ...]
    at_specificity: AtSpecificity


def combine(
    summaries: Mapping[str, Summary],
    seed: int,
    shared_model: bool = True,
    auc_interval: AucInterval = "score",
    overlap: Overlap = NOBODY_SHARED,
    recalibrate: bool = False,
    prevalences: Sequence[float] = PREVALENCES,
) -> MethodMetrics:
    """Compute the metrics of a method from its sites' summaries.

    Args:
        summaries: Site → result of `summarise` there, in any order.
        seed: Seed of the pooled bootstrap.
        shared_model: False if each site has its own model (as for the local baseline): then each site has its own
            thresholds, and nothing is pooled, as the probabilities of different models are not comparable.
        auc_interval: How the sites made the intervals of their AUCs; the pooled and the mean AUC follow them.
        overlap: People with test scans at several sites.
        recalibrate: Whether to give the calibration after Platt scaling, too.
        prevalences: Prevalences at which to give predictive values, besides the test set's own.

    Raises:
        InputError: If a summary is of another version or grid, or its counts are inconsistent, with the site's name.
    """
    checked = {site: CheckedSummary.of(site, summaries[site]) for site in sorted(summaries)}
    all_summaries = list(checked.values())
    shared = shared_model and bool(checked)
    pooled_thresholds = _thresholds(all_summaries)
    sites = {
        site: _site_metrics(summary, pooled_thresholds if shared else _thresholds([summary]), prevalences)
        for site, summary in checked.items()
    }
    aucs = {site: metrics.auc for site, metrics in sites.items()}
    variances = {site: variance for site, part in checked.items() if (variance := part.auc_variance) is not None}
    mean = mean_over_sites(aucs, variances if auc_interval == "score" else None, overlap)
    return MethodMetrics(
        threshold=pooled_thresholds.youden if shared else None,
        sites=sites,
        pooled=_pooled_metrics(all_summaries, pooled_thresholds, seed, auc_interval, prevalences) if shared else None,
        mean_auc=mean,
        heterogeneity=heterogeneity(
            [value for site in mean.sites if (value := aucs[site].value) is not None],
            [variances[site] for site in mean.sites],
            few=mean.mark is not None,
        ),
        groups=_groups(checked, pooled_thresholds.youden) if shared else None,
        membership=membership_metrics(
            {site: (part.membership, part.test.participants) for site, part in checked.items() if part.membership}
        ),
        recalibrated=_recalibrated(checked, shared) if recalibrate else {},
    )


def _recalibrated(checked: Mapping[str, CheckedSummary], shared: bool) -> dict[str, Recalibrated]:
    """Recalibrate every part: on all sites' validation scans, or on a site's own where each has its own model."""
    parts = {site: [summary] for site, summary in checked.items()}
    if shared:
        parts["Pooled"] = list(checked.values())
    found = {}
    for name, summaries in parts.items():
        fitted_on = list(checked.values()) if shared else summaries
        scaling = platt_scaling(np.sum([summary.validation_counts for summary in fitted_on], axis=0))
        if scaling is not None:
            found[name] = recalibrated(_test_sample(summaries), scaling)
    return found


def _test_sample(summaries: Sequence[CheckedSummary]) -> Sample:
    """The test scans of sites: from their predictions if all share them, or else from counts."""
    predictions = pool_if_shared(summaries)
    if predictions is not None:
        return Sample.of_predictions(predictions)
    negative, positive = np.sum([summary.test.participants_by_class for summary in summaries], axis=0)
    people = sum(summary.test.participants for summary in summaries)
    return Sample.of_counts(
        np.sum([summary.test_counts for summary in summaries], axis=0), (int(negative), int(positive)), people
    )


def _thresholds(summaries: Sequence[CheckedSummary]) -> _Thresholds:
    """Choose the thresholds on the pooled validation scans of these sites."""
    if not summaries:
        return _Thresholds(None, None, NO_THRESHOLD)
    negatives, positives = np.sum([summary.validation_counts for summary in summaries], axis=0)
    return _Thresholds(
        choose_threshold(negatives, positives),
        threshold_at_specificity(negatives, positives, SPECIFICITY),
        why_not_specific(negatives, positives, SPECIFICITY),
    )


def _site_metrics(summary: CheckedSummary, thresholds: _Thresholds, prevalences: Sequence[float]) -> TestMetrics:
    test = summary.test
    people = test.participants, test.participants_by_class
    points = _operating_points(*people, summary.test_counts, thresholds, prevalences)
    return TestMetrics(
        participants=test.participants,
        participants_by_class=test.participants_by_class,
        scans=test.scans,
        positives=test.positives,
        threshold=thresholds.youden,
        balanced_accuracy=points.at_threshold.balanced_accuracy,
        sensitivity=points.at_threshold.sensitivity,
        specificity=points.at_threshold.specificity,
        accuracy=points.accuracy,
        confusion=points.confusion,
        predictive_values=points.predictive_values,
        at_specificity=points.at_specificity,
        auc=test.auc,
        auc_delong=test.auc_delong,
        calibration=test.calibration,
        roc=_site_roc(summary),
    )


def _site_roc(summary: CheckedSummary) -> RocCurve | None:
    (counts,), source = finest_counts([summary])
    return roc_curve(counts, source, [], None)


def _operating_points(
    people: int,
    participants: tuple[int, int],
    counts: np.ndarray,
    thresholds: _Thresholds,
    prevalences: Sequence[float],
) -> _OperatingPoints:
    def point(threshold: float | None, why_none: str) -> tuple[OperatingPoint, Confusion | None]:
        confusion = None if threshold is None else Confusion.at(counts[0], counts[1], threshold)
        return operating_point(counts[0], counts[1], participants, threshold, why_none), confusion

    at_threshold, confusion = point(thresholds.youden, NO_THRESHOLD)
    specific, specific_confusion = point(thresholds.at_specificity, thresholds.why_not_specific)
    return _OperatingPoints(
        at_threshold,
        accuracy(confusion, people, participants),
        confusion,
        predictive_values(confusion, participants, prevalences),
        AtSpecificity(
            SPECIFICITY, thresholds.at_specificity, specific.sensitivity, specific.specificity, specific_confusion
        ),
    )


def _pooled_metrics(
    summaries: Sequence[CheckedSummary],
    thresholds: _Thresholds,
    seed: int,
    auc_interval: AucInterval,
    prevalences: Sequence[float],
) -> PooledMetrics:
    """Compute the metrics of all test scans. A person at two sites counts twice, as sites do not share names."""
    counts = np.sum([summary.test_counts for summary in summaries], axis=0)
    people_by_site = [summary.test.participants_by_class for summary in summaries]
    negative, positive = (int(people) for people in np.sum(people_by_site, axis=0))
    by_class = (negative, positive)
    people = sum(summary.test.participants for summary in summaries)
    predictions = pool_if_shared(summaries)
    on_grid = strata_by_site([summary.test_counts for summary in summaries], people_by_site)
    finest, source = finest_counts(summaries)
    sample = _test_sample(summaries)
    band = numpy_rng(seed, "ROC band") if min(by_class) >= FEW else None
    points = _operating_points(people, by_class, counts, thresholds, prevalences)
    return PooledMetrics(
        participants=people,
        participants_by_class=by_class,
        scans=sum(summary.test.scans for summary in summaries),
        positives=sum(summary.test.positives for summary in summaries),
        threshold=thresholds.youden,
        balanced_accuracy=points.at_threshold.balanced_accuracy,
        sensitivity=points.at_threshold.sensitivity,
        specificity=points.at_threshold.specificity,
        accuracy=points.accuracy,
        confusion=points.confusion,
        predictive_values=points.predictive_values,
        at_specificity=points.at_specificity,
        auc=pooled_auc(counts, by_class, predictions, on_grid, auc_interval, numpy_rng(seed, "pooled AUC")),
        auc_delong=_pooled_delong(counts, by_class, predictions),
        calibration=calibration(sample),
        calibration_curve=calibration_curve(sample),
        decision_curve=decision_curve(sample),
        roc=roc_curve(np.sum(finest, axis=0), source, strata_by_site(finest, people_by_site), band),
        grid_error=auc_error_bound(*counts) if counts.any(axis=1).all() else None,
    )


def _pooled_delong(counts: np.ndarray, by_class: tuple[int, int], predictions: Predictions | None) -> Estimate:
    if predictions is None:
        return delong_from_counts(counts[0], counts[1], by_class)
    return delong_estimate(predictions)


def _groups(checked: Mapping[str, CheckedSummary], threshold: float | None) -> dict[str, AxisMetrics]:
    """Compute the metrics of the groups along every axis that any site reports, and by site."""
    metrics = {}
    for axis in sorted({axis for summary in checked.values() for axis in summary.test.groups}):
        sites = [summary.test.groups[axis] for summary in checked.values() if axis in summary.test.groups]
        metrics[axis] = AxisMetrics(combine_groups(sites, threshold), sum(part.held_back for part in sites))
    with_scans = {site: summary for site, summary in checked.items() if summary.test.scans}
    finest, source = finest_counts(list(with_scans.values()))
    by_site = gaps(
        {site: summary.test_counts for site, summary in with_scans.items()},
        {site: np.array(summary.test.participants_by_class) for site, summary in with_scans.items()},
        threshold,
        dict(zip(with_scans, finest, strict=True)),
        source,
    )
    return metrics | {"site": AxisMetrics(by_site, 0)}
