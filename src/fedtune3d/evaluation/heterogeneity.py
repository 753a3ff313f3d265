"""Heterogeneity of the sites' AUCs beyond chance, and the prediction interval for a new site."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedtune3d.evaluation.auc_interval import AucVariance, away_from_ends
from fedtune3d.evaluation.estimate import Estimate, defined

MIN_SITES = 5
"""Fewest sites for an estimate of the spread between them."""
PREDICTION = "random-effects model on the logit (Paule and Mandel 1982), t with k − 2 degrees of freedom (Higgins 2009)"


@dataclass(frozen=True)
class Heterogeneity:
    """The spread of the true AUCs between sites.

    Attributes:
        tau: Standard deviation of the sites' true AUCs, on the logit scale.
        i_squared: Share of the variance between the sites' AUCs that is not chance, 0 to 1.
        new_site: The random-effects mean, and the 95% prediction interval for the true AUC at a new site.
        sites: How many sites.
    """

    tau: float
    i_squared: float
    new_site: Estimate
    sites: int


def heterogeneity(aucs: Sequence[float], variances: Sequence[AucVariance], few: bool) -> Heterogeneity | None:
    """Estimate the spread between sites by a random-effects model of logit AUCs; None with under `MIN_SITES` sites.

    The logit and its variance (delta method) are those of `away_from_ends`. I² = max(0, (Q − k + 1) / Q).

    Args:
        aucs: Of k sites, in [0, 1].
        variances: Of these AUCs.
        few: Whether a site has few people, for the mark.

    References:
        Paule and Mandel, 1982, J. Res. Natl. Bur. Stand. 87:377–385 (τ²); Higgins and Thompson, 2002, Stat. Med.
        21:1539–1558 (I²); Higgins, Thompson and Spiegelhalter, 2009, J. R. Stat. Soc. A 172:137–159 (prediction
        interval); Snell, Ensor, Debray, Moons and Riley, 2018, Stat. Methods Med. Res. 27:3505–3522 (logit of the AUC).
    """
    from scipy.stats import t as student

    if len(aucs) < MIN_SITES:
        return None
    inside = [away_from_ends(auc, part.negatives, part.positives) for auc, part in zip(aucs, variances, strict=True)]
    logits = np.array([math.log(value / (1 - value)) for value in inside])
    within = np.array([part.at(v) / (v * (1 - v)) ** 2 for v, part in zip(inside, variances, strict=True)])
    between = _paule_mandel(logits, within)
    weights = 1 / (within + between)
    mean = float(weights @ logits / weights.sum())
    fixed = 1 / within
    q = float(fixed @ (logits - fixed @ logits / fixed.sum()) ** 2)
    degrees = len(logits) - 1
    quantile = student.ppf(0.975, len(logits) - 2)
    half_width = quantile * math.sqrt(between + 1 / weights.sum())
    interval = _expit(mean - half_width), _expit(mean + half_width)
    return Heterogeneity(
        tau=math.sqrt(between),
        i_squared=max(0.0, (q - degrees) / q) if q > 0 else 0.0,
        new_site=defined(_expit(mean), interval, PREDICTION, few),
        sites=len(logits),
    )


def _paule_mandel(values: np.ndarray, within: np.ndarray) -> float:
    """The τ² at which Σ (value − mean)² / (within + τ²) = k − 1; 0 where the sum is smaller at 0."""
    from scipy.optimize import brentq

    def excess(between: float) -> float:
        weights = 1 / (within + between)
        return float(weights @ (values - weights @ values / weights.sum()) ** 2) - (len(values) - 1)

    if excess(0.0) <= 0:
        return 0.0
    return float(brentq(excess, 0.0, float(np.var(values)) * len(values) + 1.0))


def _expit(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
