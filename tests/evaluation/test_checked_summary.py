"""The server takes a summary only where its numbers agree with one another."""

from dataclasses import replace

import numpy as np
import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.evaluation.checked_summary import CheckedSummary
from fedtune3d.evaluation.class_counts import ClassCounts
from fedtune3d.evaluation.grid import Grid
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.summary import Summary, summarise

TEST = Predictions(("a", "b", "c"), ("",) * 3, np.array([0, 1, 1]), np.array([0.2, 0.7, 0.9]))


def summary() -> Summary:
    return summarise(TEST, TEST, seed=0, share_predictions=True)


def test_a_sound_summary_comes_with_its_counts_as_arrays() -> None:
    checked = CheckedSummary.of("A", summary())
    assert checked.test_counts.sum(axis=1).tolist() == [1, 2]
    assert np.array_equal(checked.validation_counts, checked.test_counts)
    assert checked.predictions is not None
    assert checked.predictions.labels.tolist() == [0, 1, 1]


def test_more_scans_than_counted_are_refused() -> None:
    sent = summary()
    with pytest.raises(InputError, match="summary of site A: 4 scans, 2 positive, but counts of 3 and 2"):
        CheckedSummary.of("A", replace(sent, test=replace(sent.test, scans=4)))


def test_predictions_that_disagree_with_the_counts_are_refused() -> None:
    sent = summary()
    assert sent.test.predictions is not None
    other = replace(sent.test.predictions, probabilities=(0.2, 0.7, 0.95))
    with pytest.raises(InputError, match="the predictions and the counts disagree"):
        CheckedSummary.of("A", replace(sent, test=replace(sent.test, predictions=other)))


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(InputError, match="summary of site A: bin 9999 with count 1"):
        CheckedSummary.of("A", replace(summary(), validation=ClassCounts({"9999": 1}, {})))


@pytest.mark.parametrize("change", [{"version": 2}, {"grid": Grid(10, 32)}])
def test_a_summary_of_another_version_or_grid_is_refused(change: dict[str, int | Grid]) -> None:
    with pytest.raises(InputError, match=r"summary of site A: expected version .*; run the same fedtune3d"):
        CheckedSummary.of("A", replace(summary(), **change))  # type: ignore[arg-type]
