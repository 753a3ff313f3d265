"""Fitting a head without trainable parameters: one pass over the features."""

import time
from collections.abc import Iterator
from typing import Protocol, cast

import torch
from torch import nn

from fedtune3d.training.dataset import ScanSet
from fedtune3d.training.local import TrainingResult
from fedtune3d.training.prediction import predict_logits
from fedtune3d.training.prefix import device_of, staged


class _Fitted(Protocol):
    def fit(self, features: object, labels: object) -> None: ...


def fit_locally(model: nn.Module, data: ScanSet) -> TrainingResult:
    """Fit a head without trainable parameters to the unaugmented training scans (view 0).

    Returns:
        A result whose loss is the mean cross-entropy after the fit, with 0 steps.

    Raises:
        ValueError: If there are no scans.
    """
    started = time.monotonic()
    model.eval()
    cast(_Fitted, model.head).fit(head_inputs(model, data), data.labels.tolist())
    logits = torch.from_numpy(predict_logits(model, data))
    loss = nn.functional.cross_entropy(logits, data.labels).item()
    return TrainingResult(loss, len(data), 0, time.monotonic() - started)


def head_inputs(model: nn.Module, data: ScanSet) -> Iterator[torch.Tensor]:
    """Yield the head's input for each unaugmented scan (view 0), (channels, D, H, W) on the CPU."""
    for index in range(len(data)):
        yield one_head_input(model, data, index)[0].cpu()


def one_head_input(model: nn.Module, data: ScanSet, index: int) -> torch.Tensor:
    """Compute the head's input for one unaugmented scan (view 0), (1, channels, D, H, W)."""
    with torch.inference_mode():
        inputs = data.inputs([index], [0]).to(device_of(model))
        return staged(model).run_stages(inputs, data.first_stage, staged(model).stage_count - 1)
