"""What a model says of scans."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import nn

from fedtune3d.training.dataset import ScanSet
from fedtune3d.training.faults import NotFinite
from fedtune3d.training.prefix import device_of, staged


def predict_logits(model: nn.Module, data: ScanSet, batch_size: int = 1) -> NDArray[np.float64]:
    """Logits (n, 2) of the scans as they are (view 0), in the order of the set, in evaluation mode.

    With `batch_size` 1 what is said of a scan does not depend, to the last bit, on the others of the set.

    Raises:
        NotFinite: If the model gives NaN or infinity.
    """
    model.eval()
    logits = np.empty((len(data), 2))
    with torch.inference_mode():
        for start in range(0, len(data), batch_size):
            batch = range(start, min(start + batch_size, len(data)))
            inputs = data.inputs(batch, [0] * len(batch)).to(device_of(model))
            given = staged(model).run_stages(inputs, data.first_stage, staged(model).stage_count)
            logits[start : batch.stop] = given.double().cpu().numpy()
    if not np.isfinite(logits).all():
        first = int(np.flatnonzero(~np.isfinite(logits).all(axis=1))[0])
        raise NotFinite(f"scan {first} of {len(data)}: the model gives NaN or infinity")
    return logits


def predict(model: nn.Module, data: ScanSet, batch_size: int = 1) -> NDArray[np.float64]:
    """The probability of the positive class for each scan, (n,) float64; otherwise as `predict_logits`."""
    logits = predict_logits(model, data, batch_size)
    return expit(logits[:, 1] - logits[:, 0])
