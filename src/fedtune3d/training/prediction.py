"""Predictions of a model on scans."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedtune3d.evaluation.outcome import BINARY, Outcome
from fedtune3d.preparation.prepared_scan import PreparedScan
from fedtune3d.training.dataset import ScanSet
from fedtune3d.training.faults import NotFinite
from fedtune3d.training.prefix import device_of, staged

CACHED_BATCH_SIZE = 8
"""Cached features per batch, with which a head takes about a third of the time per scan of single scans."""


def as_input(prepared: PreparedScan) -> torch.Tensor:
    """Convert a prepared scan to a model's input, (1, 1, s, s, s) float32."""
    return torch.from_numpy(np.asarray(prepared.voxels, dtype=np.float32))[None, None]


def predict_logits(model: nn.Module, data: ScanSet, batch_size: int | None = None) -> NDArray[np.float64]:
    """Compute the outputs (n, k) of the unaugmented scans (view 0), in the set's order and in evaluation mode.

    All batches have the same size, the last being padded with copies of its last scan, because kernels are chosen by
    shape. A scan's prediction therefore depends neither on the other scans in the set nor on their order.

    Args:
        batch_size: By default `CACHED_BATCH_SIZE` for cached features, and 1 for prepared scans.

    Raises:
        NotFinite: If the model's output is NaN or infinite.
    """
    model.eval()
    batch_size = batch_size or (CACHED_BATCH_SIZE if data.first_stage else 1)
    logits = np.empty((len(data), 0))
    with torch.inference_mode():
        for start in range(0, len(data), batch_size):
            batch = range(start, min(start + batch_size, len(data)))
            padded = [*batch, *[batch[-1]] * (batch_size - len(batch))]
            inputs = data.inputs(padded, [0] * batch_size).to(device_of(model))
            outputs = staged(model).run_stages(inputs, data.first_stage, staged(model).stage_count)
            if not start:
                logits = np.empty((len(data), outputs.shape[1]))
            logits[start : batch.stop] = outputs[: len(batch)].double().cpu().numpy()
    if not np.isfinite(logits).all():
        first = int(np.flatnonzero(~np.isfinite(logits).all(axis=1))[0])
        raise NotFinite(f"scan {first} of {len(data)}: the model's output is NaN or infinite")
    return logits


def predict(
    model: nn.Module, data: ScanSet, batch_size: int | None = None, outcome: Outcome = BINARY
) -> NDArray[np.float64]:
    """Predict each scan; see `predict_logits`.

    Returns:
        (n,) float64, the probability of the second of two classes or the number; (n, C), that of each of more classes.
    """
    if not len(data):
        return np.empty(0 if outcome.width <= 2 else (0, outcome.width))
    return outcome.predict(predict_logits(model, data, batch_size))
