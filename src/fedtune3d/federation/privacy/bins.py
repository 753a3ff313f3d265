"""Coarse counts: scans per class on the grid, merged until no bin is about a few people."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from fedtune3d.evaluation.class_counts import ClassCounts, CountScans
from fedtune3d.evaluation.grid import EDGES
from fedtune3d.evaluation.predictions import Predictions

Row = tuple[int, int, str]
"""A scan: its bin, its label, its person."""


def coarse_counting(min_people: int) -> CountScans:
    """Return `coarse_counts` for a policy's minimum."""
    return partial(coarse_counts, min_people=min_people)


def coarse_counts(predictions: Predictions, min_people: int) -> ClassCounts:
    """Count scans on the grid in runs of bins with no people of a class, or at least `min_people`.

    All scans of a run are counted in the bin nearest to their mean, which is a statistic of at least `min_people`
    people. The order of scans in different runs is kept, so the AUC from the counts errs by at most half the share of
    the pairs within a run. With a minimum of 1 the counts are those of `ClassCounts.of`.

    Args:
        predictions: Predictions in a split, or in a group of it.
        min_people: The policy's minimum.

    Returns:
        The counts; empty if a class has people, but fewer than the minimum.
    """
    bins = np.searchsorted(EDGES, predictions.probabilities, side="right").tolist()
    rows = sorted(zip(bins, predictions.labels.tolist(), predictions.participants, strict=True))
    counts: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for run in _runs(rows, min_people):
        place = str(round(sum(row[0] for row in run) / len(run)))
        for label in (0, 1):
            if scans := sum(row[1] == label for row in run):
                counts[label][place] = scans
    return ClassCounts(*counts)


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
    people = [len({person for _, own, person in run if own == label}) for label in (0, 1)]
    return all(count == 0 or count >= min_people for count in people)
