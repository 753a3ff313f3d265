"""What the server makes of the sites' summaries."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.evaluation.calibration import calibration
from fedtune3d.evaluation.classification import operating_point
from fedtune3d.evaluation.decision_curve import decision_curve
from fedtune3d.evaluation.delong import delong_estimate, delong_from_counts
from fedtune3d.evaluation.estimate import FEW, Estimate
from fedtune3d.evaluation.grid import auc_error_bound
from fedtune3d.evaluation.groups import combine_groups, gaps
from fedtune3d.evaluation.mean_over_sites import mean_over_sites
from fedtune3d.evaluation.pooled_auc import pool, pooled_auc, strata_by_site
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.reliability import calibration_curve, calibration_error
from fedtune3d.evaluation.roc import roc_curve
from fedtune3d.evaluation.sample import Sample
from fedtune3d.evaluation.scale import finest_counts
from fedtune3d.evaluation.summary import read_summary
from fedtune3d.evaluation.threshold import choose_threshold, threshold_at_specificity

SPECIFICITY = 0.9
"""Sensitivity is also given at the threshold of this specificity on the validation scans."""


def combine(summaries: Mapping[str, Mapping[str, Any]], seed: int, shared_model: bool = True) -> dict[str, Any]:
    """The metrics of a method from its sites' summaries.

    Args:
        summaries: Site → what `summarise` returned there. The order of sites does not matter.
        seed: Of the pooled bootstrap.
        shared_model: False where each site has a model of its own (as for the local baseline): the thresholds are then
            each site's own, and nothing is pooled, as the probabilities of different models are not one scale.

    Returns:
        ``threshold`` (chosen on the pooled validation counts; None where there is none or each site has its own);
        ``sites``: site → ``participants``, ``participants_by_class``, ``scans``, ``positives``, ``threshold``, ``auc``,
        ``auc_delong``, ``balanced_accuracy``, ``sensitivity``, ``specificity``, ``at_specificity`` (the latter two,
        ``target`` and ``threshold``), ``calibration`` (``slope``, ``intercept``, ``brier``, ``error``) and ``roc``;
        ``pooled``: the same over all test scans, with a band on ``roc``, ``calibration.curve``, ``decision_curve`` and
        ``grid_error`` (the most by which an AUC of all scans from counts on the grid errs), or None; ``mean_auc`` (over
        the sites that have one, named in its ``sites``); ``groups``: axis (``sex``, …, ``site``) → ``groups`` (see
        `groups.combine_groups`) and ``held_back``, or None.

    Raises:
        InputError: If a summary is of another version or grid, or its counts disagree; names the site.
    """
    parsed = {site: read_summary(site, summaries[site]) for site in sorted(summaries)}
    everything = list(parsed.values())
    shared = shared_model and bool(parsed)
    pooled_thresholds = _thresholds(everything)
    sites = {
        site: _site_metrics(summary, pooled_thresholds if shared else _thresholds([summary]))
        for site, summary in parsed.items()
    }
    return {
        "threshold": pooled_thresholds[0] if shared else None,
        "sites": sites,
        "pooled": _pooled_metrics(everything, pooled_thresholds, seed) if shared else None,
        "mean_auc": mean_over_sites({site: metrics["auc"] for site, metrics in sites.items()}),
        "groups": _groups(parsed, pooled_thresholds[0]) if shared else None,
    }


def _thresholds(summaries: Sequence[dict[str, Any]]) -> tuple[float | None, float | None]:
    """With the greatest Youden's J, and at `SPECIFICITY`, on the validation scans of these sites together."""
    if not summaries:
        return None, None
    negatives, positives = np.sum([summary["validation_counts"] for summary in summaries], axis=0)
    return choose_threshold(negatives, positives), threshold_at_specificity(negatives, positives, SPECIFICITY)


def _site_metrics(summary: dict[str, Any], thresholds: tuple[float | None, float | None]) -> dict[str, Any]:
    return {
        **_at_thresholds(summary, summary["test_counts"], thresholds),
        "auc": summary["auc"],
        "auc_delong": summary["auc_delong"],
        "calibration": summary["calibration"],
        "roc": roc_curve(finest_counts([summary])[0][0], [], None),
    }


def _at_thresholds(
    people: Mapping[str, Any], counts: np.ndarray, thresholds: tuple[float | None, float | None]
) -> dict[str, Any]:
    by_class = tuple(people["participants_by_class"])
    at_specificity = operating_point(counts[0], counts[1], by_class, thresholds[1])
    return {
        **{key: people[key] for key in ("participants", "participants_by_class", "scans", "positives")},
        "threshold": thresholds[0],
        **operating_point(counts[0], counts[1], by_class, thresholds[0]),
        "at_specificity": {
            "target": SPECIFICITY,
            "threshold": thresholds[1],
            **{key: at_specificity[key] for key in ("sensitivity", "specificity")},
        },
    }


def _pooled_metrics(
    summaries: Sequence[dict[str, Any]], thresholds: tuple[float | None, float | None], seed: int
) -> dict[str, Any]:
    """All test scans together. A person known to two sites counts twice: sites share no names to tell."""
    counts = np.sum([summary["test_counts"] for summary in summaries], axis=0)
    people_by_site = [summary["participants_by_class"] for summary in summaries]
    people = {key: sum(summary[key] for summary in summaries) for key in ("participants", "scans", "positives")}
    people["participants_by_class"] = np.sum(people_by_site, axis=0).tolist()
    by_class = (people["participants_by_class"][0], people["participants_by_class"][1])
    predictions = _shared_predictions(summaries)
    on_grid = strata_by_site([summary["test_counts"] for summary in summaries], people_by_site)
    finest, _ = finest_counts(summaries)
    sample = (
        Sample.of_counts(counts, by_class, people["participants"])
        if predictions is None
        else Sample.of_predictions(predictions)
    )
    band = numpy_rng(seed, "ROC band") if min(by_class) >= FEW else None
    return {
        **_at_thresholds(people, counts, thresholds),
        "auc": pooled_auc(counts, by_class, predictions, on_grid, numpy_rng(seed, "pooled AUC")),
        "auc_delong": _pooled_delong(counts, by_class, predictions),
        "calibration": {
            **calibration(sample),
            "error": calibration_error(sample),
            "curve": calibration_curve(sample),
        },
        "decision_curve": decision_curve(sample),
        "roc": roc_curve(np.sum(finest, axis=0), strata_by_site(finest, people_by_site), band),
        "grid_error": auc_error_bound(*counts) if counts.any(axis=1).all() else None,
    }


def _shared_predictions(summaries: Sequence[dict[str, Any]]) -> Predictions | None:
    """All sites' predictions, or None where one with test scans keeps them."""
    having = [summary["predictions"] for summary in summaries if summary["scans"]]
    return None if any(part is None for part in having) else pool(having) if having else None


def _pooled_delong(counts: np.ndarray, by_class: tuple[int, int], predictions: Predictions | None) -> Estimate:
    if predictions is None:
        return delong_from_counts(counts[0], counts[1], by_class)
    return delong_estimate(predictions)


def _groups(parsed: Mapping[str, dict[str, Any]], threshold: float | None) -> dict[str, Any]:
    """By every axis that a site tells of, and by site."""
    axes = sorted({axis for summary in parsed.values() for axis in summary["groups"]})
    found = {}
    for axis in axes:
        told = [summary["groups"][axis] for summary in parsed.values() if axis in summary["groups"]]
        found[axis] = {
            "groups": combine_groups(told, threshold),
            "held_back": sum(part["held_back"] for part in told),
        }
    having = {site: summary for site, summary in parsed.items() if summary["scans"]}
    finest, source = finest_counts(list(having.values()))
    by_site = gaps(
        {site: summary["test_counts"] for site, summary in having.items()},
        {site: np.array(summary["participants_by_class"]) for site, summary in having.items()},
        threshold,
        dict(zip(having, finest, strict=True)),
        source,
    )
    return found | {"site": {"groups": by_site, "held_back": 0}}
