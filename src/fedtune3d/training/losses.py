"""The loss of a scan by what the model predicts: cross-entropy of classes, or the error of a number."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fedtune3d.evaluation.outcome import BINARY, NumberOutcome, Outcome

ScanLoss = Callable[[Tensor, Tensor], Tensor]
"""Outputs (B, k) float32 and what they should be, (B,), on one device → the loss of each scan, (B,)."""


def _cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, labels, reduction="none")


def _squared_error(outputs: Tensor, numbers: Tensor) -> Tensor:
    return (outputs[:, 0] - numbers) ** 2


def _absolute_error(outputs: Tensor, numbers: Tensor) -> Tensor:
    return (outputs[:, 0] - numbers).abs()


def scan_loss(outcome: Outcome) -> ScanLoss:
    """Return the loss of an outcome: cross-entropy, or squared or absolute error in units of half the range."""
    if not isinstance(outcome, NumberOutcome):
        return _cross_entropy
    return _squared_error if outcome.loss == "mse" else _absolute_error


CROSS_ENTROPY = scan_loss(BINARY)


@dataclass(frozen=True)
class WeightedLoss:
    """The loss of each scan times the weight of its class.

    Attributes:
        loss: The loss of a scan.
        weights: (classes,) on the CPU; None where every scan counts the same.
    """

    loss: ScanLoss
    weights: Tensor | None

    def __call__(self, outputs: Tensor, truth: Tensor) -> Tensor:
        """Return the weighted losses (B,) on the device of the outputs (B, k); `truth`, (B,), is on the CPU."""
        losses = self.loss(outputs.float(), truth.to(outputs.device))
        return losses if self.weights is None else losses * self.weights[truth].to(outputs.device)


def training_loss(outcome: Outcome, truth: Tensor, class_weighted: bool) -> WeightedLoss:
    """Return the loss that training minimises, given what the training scans should give, (n,)."""
    loss = scan_loss(outcome)
    if isinstance(outcome, NumberOutcome):
        return WeightedLoss(loss, None)
    weights = class_weights(truth, outcome.width) if class_weighted else torch.ones(outcome.width)
    return WeightedLoss(loss, weights)


def class_weights(labels: Tensor, classes: int = 2) -> Tensor:
    """Return weights n / (k · n of the class), (classes,), which balance the k classes that have scans.

    A class without scans has the weight 1, as has a class that is alone.
    """
    counts = torch.bincount(labels, minlength=classes).float()
    present = counts > 0
    balanced = len(labels) / (int(present.sum()) * counts.clamp(min=1))
    return torch.where(present, balanced, 1.0)
