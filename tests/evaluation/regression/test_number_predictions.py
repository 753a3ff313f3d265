from collections.abc import Callable

import numpy as np
import pytest

from fedtune3d.evaluation.regression.number_predictions import NumberPredictions


def test_errors_are_predicted_minus_true(draw_numbers: Callable[..., NumberPredictions]) -> None:
    two = NumberPredictions(("a", "b"), ("", ""), np.array([70.0, 60.0]), np.array([68.0, 63.5]))
    assert two.errors.tolist() == [-2.0, 3.5]
    assert (two.people, draw_numbers(1, 7, 3).people, len(draw_numbers(1, 7, 3))) == (2, 7, 21)
    assert not two.truth.flags.writeable


@pytest.mark.parametrize(
    ("truth", "predicted", "why"),
    [([70.0], [np.nan], "finite"), ([np.inf], [70.0], "finite"), ([70.0, 1.0], [70.0], "equally long")],
)
def test_impossible_predictions(truth: list[float], predicted: list[float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        NumberPredictions(("a",), ("",), np.array(truth), np.array(predicted))
