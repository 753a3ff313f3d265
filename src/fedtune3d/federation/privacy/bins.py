"""Coarse counts: scans per class on the grid, merged until no bin is about a few people."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fedtune3d.evaluation.class_counts import ClassCounts, CountScans
from fedtune3d.evaluation.grid import EDGES
from fedtune3d.evaluation.multiclass.score_counts import CountByClass
from fedtune3d.evaluation.predictions import Predictions

Row = tuple[int, int, str]
"""A scan: its bin, its label, its person."""


def coarse_counting(min_people: int) -> CountScans:
    """Return `coarse_counts` for a policy's minimum."""
    return partial(coarse_counts, min_people=min_people)


def coarse_counts(predictions: Predictions, min_people: int) -> ClassCounts:
    """Count scans by class as `coarse_by_class` does.

    Args:
        predictions: Predictions in a split, or in a group of it.
        min_people: The policy's minimum.
    """
    return ClassCounts(
        *coarse_by_class(predictions.probabilities, predictions.labels, predictions.participants, 2, min_people)
    )


def coarse_counting_by_class(min_people: int) -> CountByClass:
    """Return `coarse_by_class` for a policy's minimum."""
    return partial(coarse_by_class, min_people=min_people)


def coarse_by_class(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    participants: Sequence[str],
    classes: int,
    min_people: int,
) -> tuple[Mapping[str, int], ...]:
    """Count scans on the grid in runs of bins with no people of a class, or at least `min_people`.

    All scans of a run are counted in the bin nearest to their mean, which is a statistic of at least `min_people`
    people. The order of scans in different runs is kept, so an AUC from the counts errs by at most half the share of
    the pairs within a run. With a minimum of 1 the counts are exact. All classes share the runs, so that the counts of
    two classes cannot be subtracted from each other.

    Args:
        probabilities: (n,) what is counted.
        labels: (n,) classes 0, 1, …
        participants: The (n,) people.
        classes: Number of classes.
        min_people: The policy's minimum.

    Returns:
        Class → bin → scans; empty if a class has people, but fewer than the minimum.
    """
    bins = np.searchsorted(EDGES, probabilities, side="right").tolist()
    rows = sorted(zip(bins, labels.tolist(), participants, strict=True))
    counts: tuple[dict[str, int], ...] = tuple({} for _ in range(classes))
    for run in _runs(rows, min_people):
        place = str(round(sum(row[0] for row in run) / len(run)))
        for label in range(classes):
            if scans := sum(row[1] == label for row in run):
                counts[label][place] = scans
    return counts


def _runs(rows: Sequence[Row], min_people: int) -> Iterator[Sequence[Row]]:
    """Split rows, sorted by bin, into the shortest runs of whole bins that have enough people of each class."""
    runs: list[list[Row]] = []
    run: list[Row] = []
    for index, row in enumerate(rows):
        run.append(row)
        ends_bin = index + 1 == len(rows) or rows[index + 1][0] != row[0]
        if ends_bin and _enough(run, min_people):
            runs.append(run)
            run = []
    while run and runs and not _enough(run, min_people):
        run = runs.pop() + run
    if run and _enough(run, min_people):
        runs.append(run)
    return iter(runs)


def _enough(run: Sequence[Row], min_people: int) -> bool:
    labels = {label for _, label, _ in run}
    people = [len({person for _, own, person in run if own == label}) for label in labels]
    return all(count >= min_people for count in people)
