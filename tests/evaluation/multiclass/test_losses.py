from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from fedtune3d.evaluation import brier
from fedtune3d.evaluation.cluster_sums import require_possible_sums
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.losses import (
    GREATEST_BRIER,
    GREATEST_LOG_LOSS,
    brier_losses,
    brier_score,
    log_loss,
    log_losses,
)
from fedtune3d.evaluation.sample import Sample

Draw = Callable[..., ClassPredictions]


@pytest.mark.parametrize("scans_each", [1, 3])
def test_values_are_those_of_scikit_learn(draw_classes: Draw, scans_each: int) -> None:
    drawn = draw_classes(4, (15, 12, 20), scans_each)
    loss, score = log_loss(log_losses(drawn), few=False), brier_score(brier_losses(drawn), few=False)
    assert loss.value == pytest.approx(sklearn_log_loss(drawn.truth, drawn.probabilities), abs=1e-9)
    expected = brier_score_loss(drawn.truth, drawn.probabilities, labels=[0, 1, 2], scale_by_half=False)
    assert score.value == pytest.approx(expected, abs=1e-9)
    for estimate in (loss, score):
        assert 0 < estimate.low < estimate.value < estimate.high


def test_of_two_classes_the_brier_score_is_twice_the_binary_one(draw_classes: Draw) -> None:
    drawn = draw_classes(4, (15, 12), 2)
    binary = brier.brier_score(Sample.of_predictions(drawn.one_vs_rest(1)))
    assert brier_score(brier_losses(drawn), few=False).limits == pytest.approx([2 * part for part in binary.limits])


def test_a_class_that_was_ruled_out_costs_what_scikit_learn_says() -> None:
    rows = ClassPredictions(("a", "b"), ("", ""), np.array([0, 1]), np.array([[0.0, 0.5, 0.5], [0.25, 0.5, 0.25]]))
    sums = log_losses(rows)
    expected = sklearn_log_loss(rows.truth, rows.probabilities, labels=[0, 1, 2])
    assert sums.mean == pytest.approx(expected, abs=1e-9)
    require_possible_sums(sums, 2, 2, 0.0, GREATEST_LOG_LOSS)
    require_possible_sums(brier_losses(rows), 2, 2, 0.0, GREATEST_BRIER)


def test_too_few_people(draw_classes: Draw, no_classes: Draw) -> None:
    assert log_loss(log_losses(no_classes()), few=True).undefined == "no test scans, or too few for the policy"
    alone = draw_classes(1, (1, 0, 0), 4)
    assert log_loss(log_losses(alone), few=True).undefined == "fewer than two people"
    assert brier_score(brier_losses(alone), few=True).undefined == "fewer than two people"
