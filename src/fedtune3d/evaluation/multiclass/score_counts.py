"""Counts of scans by probability of each class and by true class: what a site sends in place of its predictions."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fedtune3d.evaluation.auc_estimate import score_estimate_from_counts
from fedtune3d.evaluation.auc_interval import AucVariance, shrunken_variance
from fedtune3d.evaluation.delong import auc_and_variance_from_counts
from fedtune3d.evaluation.estimate import Estimate, undefined
from fedtune3d.evaluation.grid import from_sparse, grid_counts, to_sparse
from fedtune3d.evaluation.multiclass.class_auc import ONE_VS_REST, PAIRS, why_missing
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.mean_auc import (
    MeanAuc,
    MeanAucVariance,
    fully_correlated,
    mean_auc_of,
    no_mean_auc,
)
from fedtune3d.evaluation.sample import FROM_COUNTS

ScoreCounts = tuple[tuple[Mapping[str, int], ...], ...]
"""Class whose probability is counted → true class → bin of the grid → scans."""

CountByClass = Callable[[NDArray[np.float64], NDArray[np.int64], Sequence[str], int], tuple[Mapping[str, int], ...]]
"""A way to count (n,) probabilities of scans by their (n,) true classes, of n participants and so many classes."""

COUNTED = "score interval, DeLong's variance shrunk to Newcombe's (2006, method 5), AUCs taken as fully correlated"


def count_by_class(
    probabilities: NDArray[np.float64], truth: NDArray[np.int64], participants: Sequence[str], classes: int
) -> tuple[Mapping[str, int], ...]:
    """Count all scans on the grid by true class."""
    return tuple(to_sparse(grid_counts(probabilities[truth == of])) for of in range(classes))


def score_counts(predictions: ClassPredictions, count: CountByClass = count_by_class) -> ScoreCounts:
    """Count the scans by the probability of each class in turn.

    Args:
        predictions: The scans.
        count: How scans are counted on the grid, such as with no bin about a few people.
    """
    return tuple(
        count(predictions.probabilities[:, of], predictions.truth, predictions.participants, predictions.classes)
        for of in range(predictions.classes)
    )


def dense_scores(counts: ScoreCounts) -> NDArray[np.int64]:
    """Return (C, C, BINS) counts. Raises `ValueError` if a bin or a count is impossible or a class is missing."""
    if any(len(row) != len(counts) for row in counts):
        raise ValueError(f"counts of {len(counts)} probabilities for {[len(row) for row in counts]} classes")
    return np.array([[from_sparse(cell) for cell in row] for row in counts], dtype=np.int64)


def against_rest(counts: NDArray[np.int64], of: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the (bins,) counts by probability of class `of`, of all other classes and of that class."""
    positives = counts[of, of]
    return counts[of].sum(axis=0) - positives, positives


def one_vs_rest_from_counts(counts: NDArray[np.int64], people: Sequence[int], of: int) -> Estimate:
    """Estimate the AUC of class `of` against the rest from counts.

    Args:
        counts: (C, C, BINS) from `dense_scores`.
        people: (C,) people with a scan of each class.
        of: The class.
    """
    negatives, positives = against_rest(counts, of)
    scans = counts[of].sum(axis=-1)
    if not positives.any() or not negatives.any():
        return undefined(why_missing(tuple(scans.tolist())) or "")
    return score_estimate_from_counts(negatives, positives, _people(people, of), FROM_COUNTS)


def macro_auc_from_counts(counts: NDArray[np.int64], people: Sequence[int]) -> MeanAuc:
    """Estimate the mean of the one-vs-rest AUCs from counts; arguments as `one_vs_rest_from_counts`.

    Its interval is conservative: counts do not tell how far the classes' AUCs go together.
    """
    if missing := _why_no_mean(counts):
        return no_mean_auc(missing)
    parts = [_variance(*against_rest(counts, of), _people(people, of)) for of in range(len(counts))]
    return _mean(parts, ONE_VS_REST)


def hand_till_from_counts(counts: NDArray[np.int64], people: Sequence[int]) -> MeanAuc:
    """Estimate Hand and Till's M from counts; arguments as `one_vs_rest_from_counts`, interval conservative."""
    if missing := _why_no_mean(counts):
        return no_mean_auc(missing)
    parts = []
    for first, second in combinations(range(len(counts)), 2):
        both = (people[second], people[first])
        one, one_variance = auc_and_variance_from_counts(counts[first, second], counts[first, first], both)
        other, other_variance = auc_and_variance_from_counts(
            counts[second, first], counts[second, second], (both[1], both[0])
        )
        # The variance of a mean of two is greatest where they are fully correlated.
        known = one_variance is not None and other_variance is not None
        greatest = ((one_variance or 0.0) ** 0.5 + (other_variance or 0.0) ** 0.5) ** 2 / 4
        auc = (one + other) / 2
        parts.append((auc, shrunken_variance(auc, greatest if known else None, *both)))
    return _mean(parts, PAIRS)


def _people(people: Sequence[int], of: int) -> tuple[int, int]:
    return sum(people) - people[of], people[of]


def _variance(
    negatives: NDArray[np.int64], positives: NDArray[np.int64], people: tuple[int, int]
) -> tuple[float, AucVariance]:
    auc, variance = auc_and_variance_from_counts(negatives, positives, people)
    return auc, shrunken_variance(auc, variance, *people)


def _mean(parts: Sequence[tuple[float, AucVariance]], what: str) -> MeanAuc:
    variance = MeanAucVariance(tuple(part for _, part in parts), fully_correlated(len(parts)))
    return mean_auc_of([auc for auc, _ in parts], variance, f"mean of {what}, {COUNTED}; {FROM_COUNTS}")


def _why_no_mean(counts: NDArray[np.int64]) -> str | None:
    return why_missing(tuple(counts[0].sum(axis=-1).tolist()))
