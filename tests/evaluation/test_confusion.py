"""Counts by hand; those of a whole run are made again in `tests/report/test_numbers.py`."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from fedtune3d.evaluation.confusion import Confusion, accuracy
from fedtune3d.evaluation.grid import grid_counts


def confusion(negatives: list[float], positives: list[float], threshold: float = 0.5) -> Confusion:
    return Confusion.at(grid_counts(np.array(negatives)), grid_counts(np.array(positives)), threshold)


def test_counts_by_hand_with_a_scan_on_the_threshold() -> None:
    got = confusion([0.1, 0.2, 0.6, 0.3], [0.5, 0.9, 0.4])
    assert got == Confusion(true_positives=2, false_negatives=1, true_negatives=3, false_positives=1)
    names = ("sensitivity", "specificity", "positive_predictive_value", "negative_predictive_value", "accuracy")
    assert [str(getattr(got, name)) for name in names] == ["2/3", "3/4", "2/3", "3/4", "5/7"]


def test_accuracy_has_wilsons_interval_by_people() -> None:
    got = accuracy(Confusion(9, 3, 20, 4), people=30, participants=(20, 12))
    assert got.value == 29 / 36
    assert (got.low, got.high) == pytest.approx(proportion_confint(30 * 29 / 36, 30, method="wilson"))
    assert got.mark is None
    assert accuracy(Confusion(9, 3, 20, 4), people=30, participants=(20, 9)).mark == "few"


def test_nothing_is_claimed_of_no_scans_or_no_threshold() -> None:
    assert "too few for the policy" in (accuracy(confusion([], []), 0, (0, 0)).undefined or "")
    assert "no threshold" in (accuracy(None, 4, (2, 2)).undefined or "")
    assert accuracy(confusion([0.2, 0.6], []), 2, (2, 0)).value == 0.5  # one class has an accuracy
