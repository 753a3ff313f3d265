"""Scans counted per class on the grid."""

import numpy as np
import pytest

from fedtune3d.evaluation.class_counts import ClassCounts
from fedtune3d.evaluation.grid import BINS
from fedtune3d.evaluation.predictions import Predictions


def counts(labels: list[int], probabilities: list[float]) -> ClassCounts:
    names = tuple(str(row) for row in range(len(labels)))
    return ClassCounts.of(Predictions(names, ("",) * len(labels), np.array(labels), np.array(probabilities)))


def test_scans_fall_into_the_bins_of_their_class() -> None:
    found = counts([0, 0, 1, 1], [0.0, 0.0, 0.5, 1.0])
    # Bin 0 is below all 1,281 edges, bin 1281 above; the edge at 0.5 is the 641st, and closes its bin from below.
    assert found == ClassCounts({"0": 2}, {"641": 1, "1281": 1})
    dense = found.dense()
    assert dense.shape == (2, BINS)
    assert dense.sum(axis=1).tolist() == [2, 2]


def test_the_total_is_that_of_all_scans_together() -> None:
    parts = [counts([0, 1], [0.1, 0.9]), counts([1, 1, 0], [0.9, 0.3, 0.7])]
    assert ClassCounts.total(parts) == counts([0, 1, 1, 1, 0], [0.1, 0.9, 0.9, 0.3, 0.7])


def test_no_scans_are_no_counts() -> None:
    assert counts([], []) == ClassCounts({}, {})


@pytest.mark.parametrize("impossible", [{"1282": 1}, {"-1": 1}, {"3": -1}])
def test_an_impossible_bin_or_count_is_refused(impossible: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="not on the grid"):
        ClassCounts({}, impossible).dense()
