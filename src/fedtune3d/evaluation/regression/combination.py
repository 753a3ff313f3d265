"""Combination of the sites' summaries of predicted numbers into the metrics of a method, at the server."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fedtune3d.evaluation.measure import Measure, mean_measure
from fedtune3d.evaluation.regression.checked_summary import CheckedNumberSummary
from fedtune3d.evaluation.regression.corrected_gap import TrendCorrection, corrected_gap, fit_trend
from fedtune3d.evaluation.regression.groups import combine_number_groups
from fedtune3d.evaluation.regression.joint_sums import JointSums
from fedtune3d.evaluation.regression.measures import (
    NAMES,
    SCALES,
    Name,
    estimates,
    measures,
    spearman_correlation,
)
from fedtune3d.evaluation.regression.metrics import NumberMeans, NumberMetrics, NumberTestMetrics, Points
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.number_sums import NumberSums
from fedtune3d.evaluation.regression.residual_bins import pool_bins
from fedtune3d.evaluation.regression.summary import NumberSummary
from fedtune3d.evaluation.regression.variances import VarianceRatios
from fedtune3d.evaluation.scan_rows import pool_if_shared


def combine_numbers(summaries: Mapping[str, NumberSummary], shared_model: bool = True) -> NumberMetrics:
    """Compute the metrics of a method from its sites' summaries of predicted numbers.

    Values are computed from sums, so they are the same whether predictions are shared or not; shared predictions make
    the intervals robust and give the pooled correlation of ranks.

    Args:
        summaries: Site → result of `summarise_numbers` there, in any order; at least one.
        shared_model: False if each site has its own model, as for the local baseline: then each site has its own
            correction for regression to the mean, and nothing is pooled.

    Raises:
        InputError: If a summary is of another version or range than the first, or its numbers are inconsistent, with
            the site's name.
    """
    order = sorted(summaries)
    limits = summaries[order[0]].limits
    checked = {site: CheckedNumberSummary.of(site, summaries[site], limits) for site in order}
    corrections = _corrections(checked, shared_model)
    measured = {site: _measures(part.sent, part.sent.ratios, part.sent.spearman) for site, part in checked.items()}
    sites = {
        site: _test_metrics(part.sent, part.predictions, measured[site], part.sent.ratios, corrections.get(site), True)
        for site, part in checked.items()
    }
    shared_correction = next(iter(corrections.values()), None)
    return NumberMetrics(
        limits=limits,
        corrections=corrections,
        sites=sites,
        pooled=_pooled(list(checked.values()), shared_correction) if shared_model else None,
        mean=_means(measured, any(metrics.measures.mae.mark for metrics in sites.values())),
        groups=combine_number_groups([part.sent.groups for part in checked.values()]) if shared_model else {},
    )


def _corrections(checked: Mapping[str, CheckedNumberSummary], shared: bool) -> dict[str, TrendCorrection]:
    """Fit each site's correction: on all sites' validation scans, or on its own where each has its own model."""
    own = {site: part.sent.validation for site, part in checked.items()}
    if shared:
        own = dict.fromkeys(own, JointSums.pooled(own.values()))
    reference = next(iter(checked.values())).sent.reference
    fitted = {site: fit_trend(sums, reference) for site, sums in own.items()}
    return {site: correction for site, correction in fitted.items() if correction is not None}


def _measures(summary: NumberSummary, ratios: VarianceRatios | None, spearman: float | None) -> dict[Name, Measure]:
    return measures(summary.test, summary.reference, ratios, spearman)


def _test_metrics(
    summary: NumberSummary,
    predictions: NumberPredictions | None,
    measured: Mapping[Name, Measure],
    ratios: VarianceRatios | None,
    correction: TrendCorrection | None,
    knows_ranks: bool,
) -> NumberTestMetrics:
    joint = summary.test.joint
    spread = joint.variances[0] if joint.scans else 0.0
    return NumberTestMetrics(
        participants=joint.people,
        scans=joint.scans,
        truth_mean=joint.means[0] + summary.reference if joint.scans else None,
        truth_deviation=math.sqrt(spread * joint.scans / (joint.scans - 1)) if joint.scans > 1 else None,
        measures=estimates(measured, joint.people, knows_ranks, ratios is not None),
        gap=None if correction is None else corrected_gap(joint, summary.reference, correction),
        residuals=summary.residuals,
        points=None if predictions is None else _points(predictions),
    )


def _points(predictions: NumberPredictions) -> Points:
    order = np.lexsort((predictions.truth, predictions.predicted))
    return Points(tuple(predictions.truth[order].tolist()), tuple(predictions.predicted[order].tolist()))


def _pooled(parts: Sequence[CheckedNumberSummary], correction: TrendCorrection | None) -> NumberTestMetrics:
    """The metrics of all test scans. A person at two sites counts twice, as sites do not share names."""
    predictions = pool_if_shared(parts)
    summary = replace(
        parts[0].sent,
        test=NumberSums.pooled([part.sent.test for part in parts]),
        residuals=pool_bins([part.sent.residuals for part in parts]),
    )
    ratios = None if predictions is None else VarianceRatios.of(predictions)
    spearman = None if predictions is None else spearman_correlation(predictions)
    measured = _measures(summary, ratios, spearman)
    return _test_metrics(summary, predictions, measured, ratios, correction, predictions is not None)


def _means(measured: Mapping[str, Mapping[Name, Measure]], few: bool) -> NumberMeans:
    by_site = {name: {site: found[name] for site, found in measured.items() if name in found} for name in NAMES}
    return NumberMeans(**{name: mean_measure(by_site[name], SCALES[name], few) for name in NAMES})
