"""Losses by outcome, by hand."""

import math

import pytest
import torch

from fedtune3d.evaluation.outcome import BINARY, ClassOutcome, NumberOutcome
from fedtune3d.training.losses import class_weights, scan_loss, training_loss

THREE = ClassOutcome(("CN", "MCI", "AD"))


def test_weights_make_the_classes_that_are_there_count_alike() -> None:
    assert class_weights(torch.tensor([0, 0, 0, 1])).tolist() == pytest.approx([4 / 6, 2.0])
    assert class_weights(torch.tensor([1, 1])).tolist() == [1.0, 1.0]
    assert class_weights(torch.tensor([0, 0, 0, 1, 2, 2]), 3).tolist() == pytest.approx([6 / 9, 2.0, 1.0])
    assert class_weights(torch.tensor([0, 0, 0, 2]), 3).tolist() == pytest.approx([4 / 6, 1.0, 2.0])


def test_the_loss_of_classes_is_the_cross_entropy() -> None:
    logits, labels = torch.log(torch.tensor([[1.0, 2.0, 5.0], [6.0, 1.0, 1.0]])), torch.tensor([2, 1])
    expected = [-math.log(5 / 8), -math.log(1 / 8)]
    assert scan_loss(THREE)(logits, labels).tolist() == pytest.approx(expected)
    weighted = training_loss(THREE, torch.tensor([1, 2, 2]), class_weighted=True)
    assert weighted(logits, labels).tolist() == pytest.approx([expected[0] * 3 / 4, expected[1] * 3 / 2])
    plain = training_loss(BINARY, torch.tensor([0, 1, 1]), class_weighted=False)
    assert plain(torch.zeros(1, 2), torch.tensor([1])).tolist() == pytest.approx([math.log(2)])


@pytest.mark.parametrize(("loss", "expected"), [("mse", [0.25, 4.0]), ("mae", [0.5, 2.0])])
def test_the_loss_of_a_number_is_its_error(loss: str, expected: list[float]) -> None:
    outcome = NumberOutcome("age", 40, 100, "years", "error", loss)  # type: ignore[arg-type]
    outputs, truth = torch.tensor([[0.5], [-1.0]]), torch.tensor([0.0, 1.0])
    assert training_loss(outcome, truth, class_weighted=True)(outputs, truth).tolist() == pytest.approx(expected)
