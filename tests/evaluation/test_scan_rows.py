"""Rows in order and of several sites, of whatever is predicted."""

from dataclasses import dataclass

import numpy as np
import pytest

from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.scan_rows import in_scan_order, pool, pool_if_shared

PEOPLE, SESSIONS = ("b", "a", "b"), ("2", "1", "1")
TWO = Predictions(PEOPLE, SESSIONS, np.array([1, 0, 1]), np.array([0.2, 0.4, 0.6]))
THREE = ClassPredictions(PEOPLE, SESSIONS, np.array([2, 0, 1]), np.array([[0.2, 0.3, 0.5], [1, 0, 0], [0, 1, 0]]))
NUMBERS = NumberPredictions(PEOPLE, SESSIONS, np.array([60.0, 70.0, 61.0]), np.array([65.0, 66.0, 67.0]))


@dataclass(frozen=True)
class Sent:
    scans: int
    predictions: NumberPredictions | None


@pytest.mark.parametrize("predictions", [TWO, THREE, NUMBERS], ids=["two", "three", "number"])
def test_rows_are_in_the_order_of_people_and_sessions(
    predictions: Predictions | ClassPredictions | NumberPredictions,
) -> None:
    found = in_scan_order(predictions)
    assert (found.participants, found.sessions) == (("a", "b", "b"), ("1", "1", "2"))
    for name in vars(predictions).keys() - {"participants", "sessions"}:
        assert getattr(found, name).tolist() == [getattr(predictions, name).tolist()[row] for row in (1, 2, 0)]


def test_people_of_two_sites_with_one_name_stay_two() -> None:
    pooled = pool([NUMBERS, NUMBERS])
    assert (len(pooled), pooled.people) == (6, 4)
    assert pooled.truth.tolist() == [60, 70, 61, 60, 70, 61]
    assert pool([THREE]).probabilities.tolist() == THREE.probabilities.tolist()
    assert pool([TWO, TWO]).labels.dtype == np.int8


def test_predictions_are_pooled_if_all_sites_with_scans_share_them() -> None:
    shares, keeps, empty = Sent(3, NUMBERS), Sent(3, None), Sent(0, None)
    pooled = pool_if_shared([shares, empty, shares])
    assert pooled is not None
    assert len(pooled) == 6
    assert pool_if_shared([shares, keeps]) is None
    assert pool_if_shared([empty]) is None
