"""The intervals of a report for thousands of simulated test sets at once, by other code than `fedtune3d.evaluation`.

Arrays have one row a test set. `coverage.py` draws the sets, and checks some rows against the package.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

Z = 1.959963984540054
PRIOR_PEOPLE = 15
Limits = tuple[np.ndarray, np.ndarray]


class Placed(NamedTuple):
    """AUCs (sets,), and the components of negative and of positive scans (sets, scans)."""

    auc: np.ndarray
    of_negatives: np.ndarray
    of_positives: np.ndarray


def midranks(scores: np.ndarray) -> np.ndarray:
    """Ranks from 1 in each row, ties sharing their mean."""
    order = np.argsort(scores, axis=1, kind="stable")
    rising = np.take_along_axis(scores, order, 1)
    places = np.arange(scores.shape[1])
    new = np.concatenate([np.ones((len(scores), 1), bool), rising[:, 1:] != rising[:, :-1]], axis=1)
    first = np.maximum.accumulate(np.where(new, places, 0), axis=1)
    ends = np.concatenate([new[:, 1:], np.ones((len(scores), 1), bool)], axis=1)
    last = np.minimum.accumulate(np.where(ends, places, len(places))[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(scores.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=1)
    return ranks


def placed(negatives: np.ndarray, positives: np.ndarray) -> Placed:
    """DeLong's components from scores."""
    ranks, n = midranks(np.concatenate([negatives, positives], axis=1)), negatives.shape[1]
    of_negatives = 1 - (ranks[:, :n] - midranks(negatives)) / positives.shape[1]
    of_positives = (ranks[:, n:] - midranks(positives)) / n
    return Placed(of_positives.mean(axis=1), of_negatives, of_positives)


def clustered(deviations: Sequence[np.ndarray], each: int) -> np.ndarray:
    """Obuchowski's variance where everybody has `each` scans, in a row, of one class."""
    total = np.zeros(len(deviations[0]))
    for part in deviations:
        people = part.shape[1] // each
        sums = part.reshape(len(part), people, each).sum(axis=2)
        total += people / (people - 1) * (sums**2).sum(axis=1) / part.shape[1] ** 2
    return total


def delong_variance(parts: Placed, each: int = 1) -> np.ndarray:
    """Of AUCs."""
    auc = parts.auc[:, None]
    return clustered((parts.of_negatives - auc, parts.of_positives - auc), each)


def newcombe_variance(theta: np.ndarray, negatives: int, positives: int) -> np.ndarray:
    """Newcombe's method 5."""
    star = (negatives + positives) / 2 - 1
    return (
        theta * (1 - theta) * (1 + star * ((1 - theta) / (2 - theta) + theta / (1 + theta))) / (negatives * positives)
    )


def ratio(parts: Placed, each: int = 1) -> np.ndarray:
    """Of DeLong's variance to Newcombe's, shrunk to 1."""
    negatives, positives = parts.of_negatives.shape[1] // each, parts.of_positives.shape[1] // each
    pairs, degrees = negatives * positives, min(negatives, positives) - 1
    model = newcombe_variance((parts.auc * pairs + 0.5) / (pairs + 1), negatives, positives)
    return np.asarray((degrees * delong_variance(parts, each) / model + PRIOR_PEOPLE) / (degrees + PRIOR_PEOPLE))


def roots(estimate: np.ndarray, variance: Callable[[np.ndarray], np.ndarray]) -> Limits:
    """The θ with (θ − estimate)² = z² variance(θ), by bisection."""

    def lower(of: np.ndarray, spread: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        low, high = np.zeros_like(of), of.copy()
        for _ in range(50):
            middle = (low + high) / 2
            outside = (middle - of) ** 2 > Z**2 * spread(middle)
            low, high = np.where(outside, middle, low), np.where(outside, high, middle)
        return low

    return lower(estimate, variance), 1 - lower(1 - estimate, lambda theta: variance(1 - theta))


def score(parts: Placed, each: int = 1) -> Limits:
    """The score interval of each AUC."""
    negatives, positives = parts.of_negatives.shape[1] // each, parts.of_positives.shape[1] // each
    share = ratio(parts, each)
    return roots(parts.auc, lambda theta: share * newcombe_variance(theta, negatives, positives))


def mean_score(sites: Sequence[Placed]) -> Limits:
    """The score interval of the mean AUC over sites, one scan a person."""
    shares = [ratio(site) for site in sites]
    sizes = [(site.of_negatives.shape[1], site.of_positives.shape[1]) for site in sites]

    def variance(theta: np.ndarray) -> np.ndarray:
        total = sum(share * newcombe_variance(theta, *size) for share, size in zip(shares, sizes, strict=True))
        return np.asarray(total) / len(sites) ** 2

    return roots(sum(site.auc for site in sites) / len(sites), variance)  # type: ignore[arg-type]


def wald(estimate: np.ndarray, variance: np.ndarray, cut: tuple[float, float] = (-np.inf, np.inf)) -> Limits:
    """The normal interval."""
    half_width = Z * np.sqrt(variance)
    return np.maximum(cut[0], estimate - half_width), np.minimum(cut[1], estimate + half_width)


def mover_difference(first: np.ndarray, of_first: Limits, second: np.ndarray, of_second: Limits) -> Limits:
    """Of first − second, independent."""
    value = first - second
    below = np.hypot(first - of_first[0], of_second[1] - second)
    return value - below, value + np.hypot(of_first[1] - first, second - of_second[0])


def brier(errors: np.ndarray) -> Limits:
    """Of the mean of (sets, people) squared errors."""
    people, mean = errors.shape[1], errors.mean(axis=1)
    inside = (mean * people + 0.25) / (people + 1)
    share = errors.var(axis=1, ddof=1) / (inside * (1 - inside))
    spread = student.ppf(0.975, people - 1) ** 2 * ((people - 1) * share + 2) / (people + 1) / people
    half_width = np.sqrt(mean * (1 - mean) * spread + spread**2 / 4)
    return (mean + spread / 2 - half_width) / (1 + spread), (mean + spread / 2 + half_width) / (1 + spread)


def intercept(logits: np.ndarray, labels: np.ndarray) -> Limits:
    """The calibration-in-the-large, by bisection of the robust score statistic."""
    people = logits.shape[1]

    def statistic(at: np.ndarray) -> np.ndarray:
        residuals = labels - 1 / (1 + np.exp(-logits - at[:, None]))
        spread = (residuals**2).sum(axis=1) * people / (people - 1)
        return np.asarray(residuals.sum(axis=1) / np.sqrt(spread))

    found = []
    for target in (Z, -Z):
        low, high = np.full(len(logits), -40.0), np.full(len(logits), 40.0)
        for _ in range(60):
            middle = (low + high) / 2
            above = statistic(middle) > target
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        found.append((low + high) / 2)
    return found[0], found[1]


def logistic(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The slope of a logistic regression with intercept, and its variance, by damped Newton steps."""
    beta = np.zeros((len(logits), 2))
    design = np.stack([logits, np.ones_like(logits)], axis=2)
    for _ in range(60):
        fitted = 1 / (1 + np.exp(-np.clip((design * beta[:, None]).sum(axis=2), -30, 30)))
        information = np.einsum("dnk,dn,dnl->dkl", design, fitted * (1 - fitted), design) + 1e-12 * np.eye(2)
        step = np.linalg.solve(information, np.einsum("dnk,dn->dk", design, labels - fitted)[..., None])[..., 0]
        size = np.abs(step).max(axis=1, keepdims=True)
        beta = beta + step * np.minimum(1, 4 / np.maximum(size, 1e-12))
    return beta[:, 0], np.linalg.inv(information)[:, 0, 0]
