"""Statistics by other code than the package's: pair by pair, and by general solvers."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm

Z = norm.ppf(0.975)


class Rows(NamedTuple):
    """Scans: label, probability and person."""

    labels: np.ndarray
    probabilities: np.ndarray
    people: np.ndarray


def direct_delong(rows: Rows) -> tuple[float, float]:
    """AUC and standard error by Obuchowski's formula, pair by pair; with one scan a person DeLong's."""
    cases, controls = (rows.probabilities[rows.labels == label] for label in (1, 0))
    psi = (cases[:, None] > controls) + 0.5 * (cases[:, None] == controls)
    auc = psi.mean()
    sums = []
    for label, part in ((1, psi.mean(axis=1)), (0, psi.mean(axis=0))):
        own = rows.people[rows.labels == label]
        sums.append({person: np.sum((part - auc)[own == person]) for person in np.unique(own)})
    variance = sum(
        len(part) / (len(part) - 1) * sum(value**2 for value in part.values()) / n**2
        for part, n in zip(sums, (len(cases), len(controls)), strict=True)
    )
    return auc, float(np.sqrt(variance))


def hanley_mcneil(theta: float, negatives: int, positives: int) -> float:
    """With Q1 = θ/(2−θ) and Q2 = 2θ²/(1+θ), balanced as by Newcombe."""
    star = (negatives + positives) / 2 - 1
    q1, q2 = theta / (2 - theta), 2 * theta**2 / (1 + theta)
    return (theta * (1 - theta) + star * (q1 - theta**2) + star * (q2 - theta**2)) / (negatives * positives)


def score_variance(auc: float, delong: float, negatives: int, positives: int) -> Callable[[float], float]:
    """Between DeLong's and Hanley and McNeil's, the latter with the weight of 15 people."""
    middle = (auc * negatives * positives + 0.5) / (negatives * positives + 1)
    people = min(negatives, positives) - 1
    ratio = (people * delong / hanley_mcneil(middle, negatives, positives) + 15) / (people + 15)
    return lambda theta: ratio * hanley_mcneil(theta, negatives, positives)


def score_limits(auc: float, variances: Sequence[Callable[[float], float]]) -> tuple[float, float]:
    """The AUCs that are z standard errors away from a mean AUC, by the variances of its terms."""

    def excess(theta: float) -> float:
        return (theta - auc) ** 2 - Z**2 * sum(variance(theta) for variance in variances) / len(variances) ** 2

    # At an AUC of 0 or 1 itself the variance is 0.
    low = 0.0 if auc == 0 else brentq(excess, 0, auc - 1e-9)
    return low, (1.0 if auc == 1 else brentq(excess, auc + 1e-9, 1))


def ratio_statistic(ratio: float, first: tuple[float, float], second: tuple[float, float]) -> float:
    """The squared number of standard errors between two proportions, each with its n, and a ratio.

    The likeliest proportions of that ratio are found by a general optimiser.
    """

    def minus_log_likelihood(share: float) -> float:
        parts = ((ratio * share, *first), (share, *second))
        return -sum(n * (p * np.log(q) + (1 - p) * np.log1p(-q)) for q, p, n in parts)

    likely = minimize_scalar(
        minus_log_likelihood, bounds=(1e-12, min(1, 1 / ratio) - 1e-12), method="bounded", options={"xatol": 1e-12}
    ).x
    variance = ratio * likely * (1 - ratio * likely) / first[1] + ratio**2 * likely * (1 - likely) / second[1]
    return (first[0] - ratio * second[0]) ** 2 / variance
