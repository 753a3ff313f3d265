"""The plain mean of a number over sites, each counting once however many scans it has."""

from collections.abc import Mapping

import numpy as np

from fedtune3d.evaluation.estimate import Estimate, defined, undefined
from fedtune3d.evaluation.intervals import mean_interval

MOVER = "mean over sites, the sites' limits combined by MOVER (Zou et al. 2009)"


class SiteMean(Estimate):
    """The mean, and the names of the sites behind it."""

    sites: list[str]


def mean_over_sites(estimates: Mapping[str, Estimate]) -> SiteMean:
    """The mean over the sites that have an AUC (or another share); its interval follows from theirs by `mean_interval`.

    Args:
        estimates: Site → estimate. Those that are not defined are left out; the rest are named in ``sites``.
    """
    having = {site: estimate for site, estimate in estimates.items() if estimate["value"] is not None}
    if not having:
        return SiteMean(**undefined("no site has an AUC"), sites=[])
    values, lows, highs = (
        [float(part[key]) for part in having.values()]  # type: ignore[arg-type]
        for key in ("value", "low", "high")
    )
    few = any(part["mark"] for part in having.values())
    mean = defined(float(np.mean(values)), mean_interval(values, lows, highs), MOVER, few)
    return SiteMean(**mean, sites=list(having))
