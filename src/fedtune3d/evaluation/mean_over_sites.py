"""The plain mean of a number over sites, each counting once however many scans it has."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedtune3d.evaluation.estimate import Estimate, defined, undefined
from fedtune3d.evaluation.intervals import mean_interval

MOVER = "mean over sites, the sites' limits combined by MOVER (Zou et al. 2009)"


@dataclass(frozen=True)
class SiteMean(Estimate):
    """The mean, and the names of the sites behind it."""

    sites: tuple[str, ...]


def mean_over_sites(estimates: Mapping[str, Estimate]) -> SiteMean:
    """The mean over the sites that have an AUC (or another share); its interval follows from theirs by `mean_interval`.

    Args:
        estimates: Site → estimate. Those that are not defined are left out; the rest are named in ``sites``.
    """
    having = {site: estimate.limits for site, estimate in estimates.items() if estimate.limits is not None}
    if not having:
        return SiteMean(**vars(undefined("no site has an AUC")), sites=())
    values, lows, highs = zip(*having.values(), strict=True)
    few = any(estimates[site].mark for site in having)
    mean = defined(float(np.mean(values)), mean_interval(values, lows, highs), MOVER, few)
    return SiteMean(**vars(mean), sites=tuple(having))
