"""The unweighted mean of an estimate over sites."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedtune3d.evaluation.estimate import Estimate, defined, undefined
from fedtune3d.evaluation.intervals import mean_interval

MOVER = "mean over sites, the sites' limits combined by MOVER (Zou et al. 2009)"


@dataclass(frozen=True)
class SiteMean(Estimate):
    """The mean over sites, and the names of these sites."""

    sites: tuple[str, ...]


def mean_over_sites(estimates: Mapping[str, Estimate]) -> SiteMean:
    """Compute the mean of an AUC (or another proportion) over sites, with the interval from `mean_interval`.

    Args:
        estimates: Site → estimate. Undefined estimates are left out; the other sites are named in ``sites``.
    """
    limits = {site: estimate.limits for site, estimate in estimates.items() if estimate.limits is not None}
    if not limits:
        return SiteMean(**vars(undefined("no site has an AUC")), sites=())
    values, lows, highs = zip(*limits.values(), strict=True)
    few = any(estimates[site].mark for site in limits)
    mean = defined(float(np.mean(values)), mean_interval(values, lows, highs), MOVER, few)
    return SiteMean(**vars(mean), sites=tuple(limits))
