"""The unweighted mean of an estimate over sites."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedtune3d.evaluation.auc_interval import AucVariance, mean_auc_interval
from fedtune3d.evaluation.estimate import Estimate, defined, undefined
from fedtune3d.evaluation.intervals import mean_interval
from fedtune3d.evaluation.overlap import NOBODY_SHARED, Overlap

MEAN_SCORE = "mean over sites, score interval from the sum of the sites' variances"
SHARED = ", people at several sites as clusters over sites"
MOVER = "mean over sites, the sites' limits combined by MOVER (Zou et al. 2009)"


@dataclass(frozen=True)
class SiteMean(Estimate):
    """The mean over sites, and the names of these sites."""

    sites: tuple[str, ...]


def mean_over_sites(
    estimates: Mapping[str, Estimate],
    variances: Mapping[str, AucVariance] | None = None,
    overlap: Overlap = NOBODY_SHARED,
) -> SiteMean:
    """Compute the mean AUC over sites.

    Args:
        estimates: Site → estimate. Undefined estimates are left out; the other sites are named in ``sites``.
        variances: Site → variance of its AUC, for the score interval of the mean. None if the sites' own intervals
            are bootstraps: the interval then comes from `mean_interval`, which under-covers with few people.
        overlap: People with test scans at several sites, whose AUCs are then correlated.
    """
    limits = {site: estimate.limits for site, estimate in estimates.items() if estimate.limits is not None}
    if not limits:
        return SiteMean(**vars(undefined("no site has an AUC")), sites=())
    values, lows, highs = zip(*limits.values(), strict=True)
    if variances is None:
        interval, method = mean_interval(values, lows, highs), MOVER
    else:
        people = {site: (variances[site].negatives, variances[site].positives) for site in limits}
        correlations = [[overlap.correlation(first, second, people) for second in limits] for first in limits]
        dependent = sum(map(sum, correlations)) > len(limits)
        interval = mean_auc_interval(values, [variances[site] for site in limits], correlations if dependent else None)
        method = MEAN_SCORE + (SHARED if dependent else "")
    few = any(estimates[site].mark for site in limits)
    mean = defined(float(np.mean(values)), interval, method, few)
    return SiteMean(**vars(mean), sites=tuple(limits))
