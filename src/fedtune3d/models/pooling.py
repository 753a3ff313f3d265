"""Features pooled over positions."""

from collections.abc import Iterable

import numpy as np
import torch


def pool_features(features: Iterable[torch.Tensor | np.ndarray]) -> np.ndarray:
    """The mean over positions of each scan: (channels, D, H, W) features, one by one → (n, channels) float64."""
    pooled = [np.asarray(scan, dtype=np.float64).mean(axis=(1, 2, 3)) for scan in features]
    return np.stack(pooled) if pooled else np.empty((0, 0))
