from collections.abc import Callable

import numpy as np
import pytest

from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions


def test_views_of_the_same_scans() -> None:
    probabilities = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.0, 0.5, 0.5]])
    predictions = ClassPredictions(("b", "a", "b"), ("1", "1", "2"), np.array([0, 2, 2]), probabilities)
    assert (predictions.scans_by_class, predictions.participants_by_class) == ((1, 0, 2), (1, 0, 2))
    assert predictions.predicted.tolist() == [0, 1, 1]  # the first of two equal ones
    assert predictions.of_true_classes().tolist() == [0.5, 0.25, 0.5]
    assert predictions.one_vs_rest(2).labels.tolist() == [0, 1, 1]
    pair = predictions.one_vs_one(2, 1)
    assert (pair.participants, pair.probabilities.tolist()) == (("a", "b"), [0.25, 0.5])
    top = predictions.top_label()
    assert (top.labels.tolist(), top.probabilities.tolist()) == ([1, 0, 0], [0.5, 0.5, 0.5])
    assert not predictions.probabilities.flags.writeable


@pytest.mark.parametrize(
    ("truth", "row", "why"),
    [
        ([3], [0.2, 0.3, 0.5], "from 0 to 2"),
        ([0], [0.2, 0.3, 0.4], "1 in all"),
        ([0], [-0.1, 0.6, 0.5], "1 in all"),
        ([0], [np.nan, 0.5, 0.5], "1 in all"),
        ([0, 1], [0.2, 0.3, 0.5], "equally long"),
        ([0], [1.0], "at least two classes"),
    ],
)
def test_impossible_predictions(truth: list[int], row: list[float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ClassPredictions(("a",), ("",), np.array(truth), np.array([row]))


def test_nobody(no_classes: Callable[[], ClassPredictions]) -> None:
    nobody = no_classes()
    assert (len(nobody), nobody.classes, nobody.scans_by_class, nobody.participants_by_class) == (
        0,
        3,
        (0,) * 3,
        (0,) * 3,
    )
