import numpy as np
import pytest

from fedtune3d.evaluation.classification import operating_point
from fedtune3d.evaluation.grid import grid_counts
from fedtune3d.evaluation.intervals import mean_interval, wilson


def point(negatives: list[float], positives: list[float], participants: tuple[int, int], threshold: float | None = 0.5):
    return operating_point(grid_counts(np.array(negatives)), grid_counts(np.array(positives)), participants, threshold)


def test_counts_by_hand_with_a_scan_on_the_threshold() -> None:
    got = point([0.1, 0.2, 0.6, 0.3], [0.5, 0.9, 0.4], (4, 3))
    assert got.specificity.value == 3 / 4
    assert got.sensitivity.value == pytest.approx(2 / 3)  # 0.5 is at the threshold, so positive
    assert got.balanced_accuracy.value == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert (got.specificity.low, got.specificity.high) == pytest.approx(wilson(3 / 4, 4))
    limits = [wilson(2 / 3, 3), wilson(3 / 4, 4)]
    expected = mean_interval([2 / 3, 3 / 4], [low for low, _ in limits], [high for _, high in limits])
    assert (got.balanced_accuracy.low, got.balanced_accuracy.high) == pytest.approx(expected)
    assert {estimate.mark for estimate in vars(got).values()} == {"few"}


def test_n_is_participants_not_scans() -> None:
    got = point([0.1] * 30, [0.9] * 30, (10, 15))
    assert (got.specificity.low, got.specificity.high) == pytest.approx(wilson(1.0, 10))
    assert (got.sensitivity.low, got.sensitivity.high) == pytest.approx(wilson(1.0, 15))
    assert {estimate.mark for estimate in vars(got).values()} == {None}


def test_one_class_leaves_the_other_side_defined() -> None:
    got = point([], [0.9, 0.2], (0, 2))
    assert got.sensitivity.value == 0.5
    assert got.specificity.undefined == got.balanced_accuracy.undefined == "no negative test scans"


def test_without_a_threshold_nothing_is_defined() -> None:
    got = point([0.1], [0.9], (1, 1), threshold=None)
    assert all("no threshold" in estimate.undefined for estimate in vars(got).values())
