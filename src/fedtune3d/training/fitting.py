"""A site's part where no parameter trains: one pass over the features."""

import time
from typing import Protocol, cast

import torch
from torch import nn

from fedtune3d.training.dataset import ScanSet
from fedtune3d.training.local import TrainingResult
from fedtune3d.training.prediction import predict_logits
from fedtune3d.training.prefix import staged


class _Fitted(Protocol):
    def fit(self, features: object, labels: object) -> None: ...


def fit_locally(model: nn.Module, data: ScanSet) -> TrainingResult:
    """Fit the model's head, which has no parameter to train, to the site's training scans, each as it is (view 0).

    Returns:
        The loss is the mean cross-entropy after the fit; no steps.

    Raises:
        ValueError: If there are no scans.
    """
    started = time.monotonic()
    model.eval()
    features = (_features(model, data, index) for index in range(len(data)))
    cast(_Fitted, model.head).fit(features, data.labels.tolist())
    logits = torch.from_numpy(predict_logits(model, data))
    loss = nn.functional.cross_entropy(logits, data.labels).item()
    return TrainingResult(loss, len(data), 0, time.monotonic() - started)


def _features(model: nn.Module, data: ScanSet, index: int) -> torch.Tensor:
    """What the head takes of one scan."""
    with torch.inference_mode():
        inputs = data.inputs([index], [0])
        return staged(model).run_stages(inputs, data.first_stage, staged(model).stage_count - 1)[0]
