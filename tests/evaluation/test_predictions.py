import numpy as np
import pytest

from fedtune3d.evaluation.predictions import Predictions


def test_codes_follow_names_and_arrays_are_read_only() -> None:
    predictions = Predictions(("b", "a", "b"), ("", "", "2"), np.array([1, 0, 1]), np.array([0.5, 0.1, 0.7]))
    assert predictions.participant_codes().tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="read-only"):
        predictions.probabilities[0] = 0


def test_an_empty_split_is_valid() -> None:
    empty = Predictions((), (), np.array([]), np.array([]))
    assert len(empty) == 0
    assert empty.participant_codes().shape == (0,)


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 1, 1], [0.1, 0.2], r"equally long, got \(2, 2, 3, 2\)"),
        ([0, 2], [0.1, 0.2], r"0 or 1, got \[2\]"),
        ([0, 1], [0.1, 1.5], r"'b' must be in \[0, 1\], got 1.5"),
        ([0, 1], [np.nan, 0.5], r"'a' must be in \[0, 1\], got nan"),
    ],
)
def test_bad_rows_are_refused(labels: list, probabilities: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Predictions(("a", "b"), ("", ""), np.array(labels), np.array(probabilities))
