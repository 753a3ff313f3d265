"""The AUC of all sites' test scans, from their predictions or, if these do not leave, from counts on the grid."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedtune3d.evaluation import auc
from fedtune3d.evaluation.auc_estimate import NEWCOMBE, AucInterval, auc_estimate, score_estimate_from_counts
from fedtune3d.evaluation.auc_interval import newcombe
from fedtune3d.evaluation.estimate import FEW, Estimate, defined, undefined
from fedtune3d.evaluation.grid import auc_error_bound
from fedtune3d.evaluation.predictions import Predictions, why_undefined
from fedtune3d.evaluation.sample import FROM_COUNTS, FROM_PREDICTIONS


def pooled_auc(
    counts: np.ndarray,
    participants: tuple[int, int],
    predictions: Predictions | None,
    strata: Sequence[tuple[np.ndarray, int, int]],
    interval: AucInterval,
    rng: np.random.Generator,
) -> Estimate:
    """Estimate the pooled AUC with its 95% CI; the estimate's method says how.

    Args:
        counts: (2, BINS) counts over all sites.
        participants: Numbers of people with a negative scan and with a positive scan.
        predictions: All sites' predictions, from `scan_rows.pool`; None if a site does not share them.
        strata: Result of `strata_by_site` for the counts on the grid.
        interval: As in `auc_estimate`; the bootstrap resamples within sites, too.
        rng: Random generator of the bootstrap.
    """
    missing = why_undefined(int(counts[0].sum()), int(counts[1].sum()))
    if missing:
        return undefined(missing)
    grid = f"{FROM_COUNTS}, AUC error at most {auc_error_bound(*counts):.1g}"
    if interval == "score":
        if predictions is None:
            return score_estimate_from_counts(counts[0], counts[1], participants, grid)
        estimate = auc_estimate(predictions, interval, rng)
        return replace(estimate, method=f"{estimate.method}; {FROM_PREDICTIONS}")
    if predictions is not None:
        value, source = auc.area_under_curve(predictions.labels, predictions.probabilities), FROM_PREDICTIONS
    else:
        value, source = float(auc.auc_from_counts(*counts)), grid
    if min(participants) < FEW or value in (0, 1):
        return defined(value, newcombe(value, *participants), f"{NEWCOMBE}; {source}", few=True)
    if predictions is not None:
        draws = auc.bootstrap_auc(predictions, _strata_by_site(predictions), rng)
    else:
        draws = auc.bootstrap_grid_auc(strata, rng)
    method = (
        f"percentile bootstrap by participant within class and site (sites with fewer than {FEW} of a class pooled), "
        f"{auc.DRAWS} draws; {source}"
    )
    return defined(value, auc.percentile_interval(draws), method, few=False)


def _strata_by_site(predictions: Predictions) -> np.ndarray:
    """Return (participants,) strata by class and site. Sites with fewer than `FEW` people of a class share one, as
    resampling a handful of people within each of many sites would give too narrow an interval."""
    classes = auc.participant_strata(predictions)
    sites = np.array([int(name.split("/")[0]) for name in sorted(set(predictions.participants))])
    strata = classes.copy()
    for site in np.unique(sites):
        for label in np.unique(classes):
            members = (sites == site) & (classes == label)
            if members.sum() >= FEW:
                strata[members] = 3 * (site + 1) + label
    return strata


def strata_by_site(
    counts: Sequence[np.ndarray], people: Sequence[tuple[int, int]]
) -> list[tuple[np.ndarray, int, int]]:
    """Return the strata of the bootstrap by site, from each site's (2, bins) counts and participants by class."""
    strata = []
    for label in (0, 1):
        parts = [(site[label], of_class[label]) for site, of_class in zip(counts, people, strict=True)]
        strata += [(part, number, label) for part, number in parts if number >= FEW]
        small = [(part, number) for part, number in parts if 0 < number < FEW]
        if small:
            strata.append((np.sum([part for part, _ in small], axis=0), sum(number for _, number in small), label))
    return strata
