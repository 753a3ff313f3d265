"""Combination of the sites' summaries of several classes into the metrics of a method, at the server."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedtune3d.evaluation.auc_interval import mean_auc_interval
from fedtune3d.evaluation.cluster_sums import ClusterSums
from fedtune3d.evaluation.estimate import FEW, Estimate, defined, undefined
from fedtune3d.evaluation.intervals import wilson
from fedtune3d.evaluation.mean_over_sites import MEAN_SCORE, SiteMean
from fedtune3d.evaluation.measure import mean_measure
from fedtune3d.evaluation.multiclass.checked_summary import CheckedClassSummary
from fedtune3d.evaluation.multiclass.class_auc import hand_till, macro_auc, one_vs_rest
from fedtune3d.evaluation.multiclass.confusion_matrix import (
    BALANCED,
    ConfusionMatrix,
    accuracy,
    balanced_accuracy,
    effective_people,
    sensitivity,
)
from fedtune3d.evaluation.multiclass.groups import combine_class_groups
from fedtune3d.evaluation.multiclass.losses import brier_score, log_loss
from fedtune3d.evaluation.multiclass.mean_auc import MeanAuc
from fedtune3d.evaluation.multiclass.metrics import ClassMeans, ClassMetrics, ClassTestMetrics, OneClass
from fedtune3d.evaluation.multiclass.score_counts import (
    against_rest,
    hand_till_from_counts,
    macro_auc_from_counts,
    one_vs_rest_from_counts,
)
from fedtune3d.evaluation.multiclass.summary import ClassSummary
from fedtune3d.evaluation.reliability import CalibrationError, CurvePoint, calibration_curve, calibration_error
from fedtune3d.evaluation.roc import RocCurve, roc_curve
from fedtune3d.evaluation.sample import FROM_COUNTS, FROM_PREDICTIONS, Sample
from fedtune3d.evaluation.scan_rows import pool_if_shared

Aucs = tuple[tuple[Estimate, ...], MeanAuc, MeanAuc]
"""AUC of each class against the rest, their mean, and Hand and Till's M."""


def combine_classes(summaries: Mapping[str, ClassSummary], shared_model: bool = True) -> ClassMetrics:
    """Compute the metrics of a method from its sites' summaries of several classes.

    What is pooled is computed from all sites' predictions, if they are shared, or from their counts and sums.

    Args:
        summaries: Site → result of `summarise_classes` there, in any order; at least one.
        shared_model: False if each site has its own model, as for the local baseline: then nothing is pooled.

    Raises:
        InputError: If a summary is of another version, grid or list of classes than the first, or its numbers are
            inconsistent, with the site's name.
    """
    order = sorted(summaries)
    classes = summaries[order[0]].classes
    checked = {site: CheckedClassSummary.of(site, summaries[site], classes) for site in order}
    sites = {
        site: _metrics([part], (part.sent.one_vs_rest, part.sent.macro_auc, part.sent.hand_till))
        for site, part in checked.items()
    }
    parts = list(checked.values())
    return ClassMetrics(
        classes=classes,
        sites=sites,
        pooled=_metrics(parts, _pooled_aucs(parts)) if shared_model else None,
        mean=_means(checked, sites),
        groups=combine_class_groups([part.sent.groups for part in parts]) if shared_model else {},
    )


def _metrics(parts: Sequence[CheckedClassSummary], aucs: Aucs) -> ClassTestMetrics:
    """The metrics of the test scans of one site or several."""
    classes = range(len(parts[0].sent.classes))
    confusion = ConfusionMatrix.pooled([part.sent.confusion for part in parts])
    people = sum(part.sent.participants for part in parts)
    by_class = tuple(sum(part.sent.participants_by_class[of] for part in parts) for of in classes)
    few = min(by_class) < FEW
    sensitivities = [sensitivity(confusion, of, by_class[of]) for of in classes]
    rocs = _roc_curves(parts)
    error, curve = _top_label(parts, people)
    return ClassTestMetrics(
        participants=people,
        scans=sum(confusion.totals),
        confusion=confusion,
        of_class=tuple(
            OneClass(by_class[of], aucs[0][of], sensitivities[of], confusion.recognised(of), rocs[of]) for of in classes
        ),
        macro_auc=aucs[1].estimate,
        hand_till=aucs[2].estimate,
        balanced_accuracy=balanced_accuracy(sensitivities, by_class),
        accuracy=accuracy(confusion, people, by_class),
        log_loss=log_loss(ClusterSums.pooled(part.sent.log_loss for part in parts), few),
        brier=brier_score(ClusterSums.pooled(part.sent.brier for part in parts), few),
        calibration_error=error,
        calibration_curve=curve,
    )


def _pooled_aucs(parts: Sequence[CheckedClassSummary]) -> Aucs:
    classes = range(len(parts[0].sent.classes))
    predictions = pool_if_shared(parts)
    if predictions is not None:
        every = tuple(one_vs_rest(predictions, of) for of in classes)
        return every, macro_auc(predictions), hand_till(predictions)
    counts: NDArray[np.int64] = np.sum([part.scores for part in parts], axis=0)
    people = [sum(part.sent.participants_by_class[of] for part in parts) for of in classes]
    every = tuple(one_vs_rest_from_counts(counts, people, of) for of in classes)
    return every, macro_auc_from_counts(counts, people), hand_till_from_counts(counts, people)


def _roc_curves(parts: Sequence[CheckedClassSummary]) -> list[RocCurve | None]:
    """The ROC curve of each class against the rest, on the finest scale that is available for all sites."""
    classes = range(len(parts[0].sent.classes))
    predictions = pool_if_shared(parts)
    if predictions is None:
        counts: NDArray[np.int64] = np.sum([part.scores for part in parts], axis=0)
        return [roc_curve(np.stack(against_rest(counts, of)), FROM_COUNTS, [], None) for of in classes]
    curves = []
    for of in classes:
        values, bins = np.unique(predictions.probabilities[:, of], return_inverse=True)
        counts = np.zeros((2, len(values)), dtype=np.int64)
        np.add.at(counts, ((predictions.truth == of).astype(np.int64), bins.reshape(-1)), 1)
        curves.append(roc_curve(counts, FROM_PREDICTIONS, [], None))
    return curves


def _top_label(parts: Sequence[CheckedClassSummary], people: int) -> tuple[CalibrationError, tuple[CurvePoint, ...]]:
    """The calibration of the predicted class's probability: the binary one of 'is it right?'."""
    predictions = pool_if_shared(parts)
    counts = [part.top_label for part in parts if part.top_label is not None]
    if predictions is not None:
        sample = Sample.of_predictions(predictions.top_label())
    elif len(counts) < len(parts) or not people:
        return CalibrationError(None, None), ()
    else:
        total: NDArray[np.int64] = np.sum(counts, axis=0)
        wrong, right = (min(people, int(scans)) for scans in total.sum(axis=1))
        sample = Sample.of_counts(total, (wrong, right), people)
    return calibration_error(sample), calibration_curve(sample)


def _means(checked: Mapping[str, CheckedClassSummary], sites: Mapping[str, ClassTestMetrics]) -> ClassMeans:
    few = any(metrics.macro_auc.mark for metrics in sites.values())
    losses = {site: part.sent.log_loss.measure for site, part in checked.items()}
    briers = {site: part.sent.brier.measure for site, part in checked.items()}
    return ClassMeans(
        macro_auc=_mean_auc(checked, lambda part: part.sent.macro_auc),
        hand_till=_mean_auc(checked, lambda part: part.sent.hand_till),
        balanced_accuracy=_mean_balanced(checked, sites),
        log_loss=mean_measure({site: part for site, part in losses.items() if part is not None}, "log", few),
        brier=mean_measure({site: part for site, part in briers.items() if part is not None}, "log", few),
    )


def _mean_auc(
    checked: Mapping[str, CheckedClassSummary], mean_of: Callable[[CheckedClassSummary], MeanAuc]
) -> SiteMean:
    """The plain mean over the sites that have this AUC, with the score interval of independent sites."""
    means = {site: mean_of(part) for site, part in checked.items()}
    known = {site: mean for site, mean in means.items() if mean.variance is not None}
    values = [mean.estimate.value for mean in known.values() if mean.estimate.value is not None]
    variances = [mean.variance for mean in known.values() if mean.variance is not None]
    if not values:
        return SiteMean(**vars(undefined("no site has an AUC over all classes")), sites=())
    few = any(mean.estimate.mark for mean in known.values())
    limits = mean_auc_interval(values, variances)
    return SiteMean(**vars(defined(float(np.mean(values)), limits, MEAN_SCORE, few)), sites=tuple(known))


def _mean_balanced(checked: Mapping[str, CheckedClassSummary], sites: Mapping[str, ClassTestMetrics]) -> SiteMean:
    """The plain mean over the sites that have it, with Wilson's interval for the people who vary as much."""
    known = {site: part.balanced_accuracy for site, part in sites.items() if part.balanced_accuracy.value is not None}
    if not known:
        return SiteMean(**vars(undefined("no site has a sensitivity for every class")), sites=())
    mean = float(np.mean([part.value for part in known.values()]))
    people = effective_people([effective_people(checked[site].sent.participants_by_class) for site in known])
    few = any(part.mark for part in known.values())
    return SiteMean(
        **vars(defined(mean, wilson(mean, people), f"mean over sites, {BALANCED}", few)), sites=tuple(known)
    )
