"""What a site tells about its predictions, and what the server makes of all sites' tellings.

`summarise` runs at a site and gives JSON without names; `combine` runs at the server and gives the metrics of a method.
Whether the test probabilities themselves leave is the site's policy; where they stay, counts on a grid stand in.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedtune3d.errors import InputError
from fedtune3d.evaluation import auc
from fedtune3d.evaluation.classification import operating_point
from fedtune3d.evaluation.estimate import FEW, Estimate, defined, undefined
from fedtune3d.evaluation.grid import GRID, auc_error_bound, from_sparse, grid_counts, to_sparse
from fedtune3d.evaluation.intervals import newcombe
from fedtune3d.evaluation.mean_over_sites import mean_over_sites
from fedtune3d.evaluation.predictions import Predictions, participants_by_class, why_undefined
from fedtune3d.evaluation.threshold import choose_threshold
from fedtune3d.seeds import numpy_rng

VERSION = 1


def summarise(validation: Predictions, test: Predictions, seed: int, share_predictions: bool) -> dict[str, Any]:
    """What leaves a site after evaluation, as JSON.

    Args:
        validation: For the threshold. May be empty or of one class.
        test: For everything else. May be empty or of one class: what is undefined then says why.
        seed: Of the bootstrap.
        share_predictions: Whether test probabilities and labels leave, grouped by participant under opaque numbers that
            follow the probabilities, not the names.

    Returns:
        ``version``, ``grid``, ``validation`` (counts per class on the grid) and ``test``: ``participants``,
        ``participants_by_class`` [negative, positive], ``scans``, ``positives``, ``auc`` (an Estimate), ``counts`` per
        class on the grid, and ``predictions`` (``participants``, ``labels``, ``probabilities``) or None.
    """
    return {
        "version": VERSION,
        "grid": GRID,
        "validation": _counts(validation),
        "test": {
            "participants": len(set(test.participants)),
            "participants_by_class": list(participants_by_class(test)),
            "scans": len(test),
            "positives": int(test.labels.sum()),
            "auc": auc.auc_estimate(test, numpy_rng(seed, "site AUC")),
            "counts": _counts(test),
            "predictions": _opaque(test) if share_predictions else None,
        },
    }


def combine(summaries: Mapping[str, Mapping[str, Any]], seed: int, shared_model: bool = True) -> dict[str, Any]:
    """The metrics of a method from its sites' summaries.

    Args:
        summaries: Site → what `summarise` returned there. The order of sites does not matter.
        seed: Of the pooled bootstrap.
        shared_model: False where each site has a model of its own (the local baseline): the threshold is then each
            site's own, and nothing is pooled, as the probabilities of different models are not one scale.

    Returns:
        ``threshold`` (chosen on the pooled validation counts; None where there is none or each site has its own),
        ``sites`` (site → metrics with ``participants``, ``scans``, ``positives``, ``threshold``, ``auc``,
        ``balanced_accuracy``, ``sensitivity``, ``specificity``), ``pooled`` (the same over all test scans, or None),
        ``mean_auc`` (over the sites that have one, named in its ``sites``).

    Raises:
        InputError: If a summary is of another version or grid, or its counts disagree; names the site.
    """
    parsed = {site: _parse(site, summaries[site]) for site in sorted(summaries)}
    pooled_threshold = _threshold(list(parsed.values())) if shared_model else None
    sites = {
        site: _site_metrics(summary, pooled_threshold if shared_model else _threshold([summary]))
        for site, summary in parsed.items()
    }
    return {
        "threshold": pooled_threshold,
        "sites": sites,
        "pooled": _pooled_metrics(list(parsed.values()), pooled_threshold, seed) if shared_model and parsed else None,
        "mean_auc": mean_over_sites({site: metrics["auc"] for site, metrics in sites.items()}),
    }


def _counts(predictions: Predictions) -> dict[str, dict[str, int]]:
    negative, positive = (grid_counts(predictions.probabilities[predictions.labels == label]) for label in (0, 1))
    return {"negative": to_sparse(negative), "positive": to_sparse(positive)}


def _opaque(test: Predictions) -> dict[str, list[Any]]:
    order = np.lexsort((test.participant_codes(), test.labels, test.probabilities))
    numbers: dict[str, int] = {}
    return {
        "participants": [numbers.setdefault(test.participants[row], len(numbers)) for row in order],
        "labels": test.labels[order].tolist(),
        "probabilities": test.probabilities[order].tolist(),
    }


def _read_opaque(rows: Mapping[str, Any], prefix: str = "") -> Predictions:
    names = tuple(f"{prefix}{number:09d}" for number in rows["participants"])
    return Predictions(names, ("",) * len(names), rows["labels"], rows["probabilities"])


def _parse(site: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """The `test` part of a summary with its counts as (2, BINS) arrays, and the validation counts beside them."""
    found = (summary.get("version"), summary.get("grid"))
    if found != (VERSION, GRID):
        raise InputError(
            f"summary of site {site}: expected version {VERSION} on grid {GRID}, got version {found[0]} on grid "
            f"{found[1]}; run the same fedtune3d at all sites"
        )
    try:
        test = dict(summary["test"])
        for split, counts in (("validation", summary["validation"]), ("test", test["counts"])):
            test[f"{split}_counts"] = np.stack([from_sparse(counts["negative"]), from_sparse(counts["positive"])])
        scans, positives = int(test["test_counts"].sum()), int(test["test_counts"][1].sum())
        if (scans, positives) != (test["scans"], test["positives"]):
            raise ValueError(f"{test['scans']} scans, {test['positives']} positive, but counts of {scans}, {positives}")
        if test["predictions"] is not None and _counts(_read_opaque(test["predictions"])) != test["counts"]:
            raise ValueError("the predictions and the counts disagree")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"summary of site {site}: {error}; expected what `summarise` makes; evaluate again") from error
    return test


def _threshold(summaries: Sequence[dict[str, Any]]) -> float | None:
    return (
        choose_threshold(*np.sum([summary["validation_counts"] for summary in summaries], axis=0))
        if summaries
        else None
    )


def _site_metrics(summary: dict[str, Any], threshold: float | None) -> dict[str, Any]:
    negatives, positives = summary["test_counts"]
    return {
        "participants": summary["participants"],
        "scans": summary["scans"],
        "positives": summary["positives"],
        "threshold": threshold,
        "auc": summary["auc"],
        **operating_point(negatives, positives, tuple(summary["participants_by_class"]), threshold),
    }


def _pooled_metrics(summaries: Sequence[dict[str, Any]], threshold: float | None, seed: int) -> dict[str, Any]:
    """All test scans together. A person known to two sites counts twice: sites share no names to tell."""
    negatives, positives = np.sum([summary["test_counts"] for summary in summaries], axis=0)
    by_class = np.sum([summary["participants_by_class"] for summary in summaries], axis=0)
    participants = (int(by_class[0]), int(by_class[1]))
    return {
        "participants": sum(summary["participants"] for summary in summaries),
        "scans": sum(summary["scans"] for summary in summaries),
        "positives": sum(summary["positives"] for summary in summaries),
        "threshold": threshold,
        "auc": _pooled_auc(summaries, (negatives, positives), participants, numpy_rng(seed, "pooled AUC")),
        **operating_point(negatives, positives, participants, threshold),
    }


def _pooled_auc(
    summaries: Sequence[dict[str, Any]],
    counts: tuple[np.ndarray, np.ndarray],
    participants: tuple[int, int],
    rng: np.random.Generator,
) -> Estimate:
    """From the predictions where every site shares them, else from the counts on the grid, as its method says."""
    missing = why_undefined(int(counts[0].sum()), int(counts[1].sum()))
    if missing:
        return undefined(missing)
    shared = [summary["predictions"] for summary in summaries if summary["scans"]]
    from_predictions = all(rows is not None for rows in shared)
    if from_predictions:
        predictions, sites = _concatenate(shared)
        value = auc.area_under_curve(predictions.labels, predictions.probabilities)
        source = "from predictions"
    else:
        value = float(auc.auc_from_counts(*counts))
        source = f"from counts on a grid, AUC error at most {auc_error_bound(*counts):.1g}"
    if min(participants) < FEW or value in (0, 1):
        return defined(value, newcombe(value, *participants), f"{auc.NEWCOMBE}; {source}", few=True)
    if from_predictions:
        strata = _strata_by_site(auc.participant_strata(predictions), sites)
        draws = auc.bootstrap_auc(predictions, strata, rng)
    else:
        draws = auc.bootstrap_grid_auc(_grid_strata(summaries), rng)
    method = (
        f"percentile bootstrap by participant within class and site (sites with under {FEW} of a class together), "
        f"{auc.DRAWS} draws; {source}"
    )
    return defined(value, auc.percentile_interval(draws), method, few=False)


def _concatenate(shared: Sequence[Mapping[str, Any]]) -> tuple[Predictions, np.ndarray]:
    """All sites' rows under names that sort by site, and the site of each participant in the order of their codes."""
    parts = [_read_opaque(rows, prefix=f"{site:06d}/") for site, rows in enumerate(shared)]
    names = tuple(name for part in parts for name in part.participants)
    labels, probabilities = (
        np.concatenate([getattr(part, key) for part in parts]) for key in ("labels", "probabilities")
    )
    predictions = Predictions(names, ("",) * len(names), labels, probabilities)
    return predictions, np.array([int(name.split("/")[0]) for name in sorted(set(names))])


def _strata_by_site(classes: np.ndarray, sites: np.ndarray) -> np.ndarray:
    """(participants,) strata by class and site. Sites with under `FEW` people of a class share one stratum of it, as
    resampling a handful of people within each of many sites would give an interval that is too narrow."""
    strata = classes.copy()
    for site in np.unique(sites):
        for label in np.unique(classes):
            here = (sites == site) & (classes == label)
            if here.sum() >= FEW:
                strata[here] = 3 * (site + 1) + label
    return strata


def _grid_strata(summaries: Sequence[dict[str, Any]]) -> list[tuple[np.ndarray, int, int]]:
    """The strata of `_strata_by_site` on the grid."""
    strata = []
    for label in (0, 1):
        parts = [(summary["test_counts"][label], summary["participants_by_class"][label]) for summary in summaries]
        strata += [(counts, people, label) for counts, people in parts if people >= FEW]
        small = [(counts, people) for counts, people in parts if 0 < people < FEW]
        if small:
            strata.append((np.sum([counts for counts, _ in small], axis=0), sum(people for _, people in small), label))
    return strata
