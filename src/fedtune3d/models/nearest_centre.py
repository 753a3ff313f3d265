"""The nearest class centre: no parameter trains; what a site finds out is a sum and a count per class."""

from collections.abc import Iterable

import torch
from torch import nn

from fedtune3d.models.centres import class_sums


class NearestCentre(nn.Module):
    """Features (B, channels, D, H, W) → logits (B, 2): minus the distances of the pooled features to the class centres.

    So the difference of the logits is the difference of the distances, which is the score, and the probability is its
    logistic function: a monotone of the score that is calibrated to nothing. Before `fit` both logits are 0.

    Attributes:
        sums: (2, channels) float64, the sum of the pooled features of each class; row 1 is the positive class.
        counts: (2,) int64, its scans.

    References:
        Mensink et al., 2013, doi:10.1109/TPAMI.2013.83 (the nearest class mean classifier).
    """

    sums: torch.Tensor
    counts: torch.Tensor

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.register_buffer("sums", torch.zeros(2, in_channels, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(2, dtype=torch.int64))

    def fit(self, features: Iterable[torch.Tensor], labels: Iterable[int]) -> None:
        """Take the class sums of these scans, features (channels, D, H, W) each, in place of those that are here."""
        total = class_sums(features, labels)
        self.sums.copy_(torch.from_numpy(total.sums))
        self.counts.copy_(torch.from_numpy(total.counts))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        pooled = features.double().mean(dim=(2, 3, 4))
        if not bool(self.counts.all()):
            return pooled.new_zeros(len(pooled), 2)
        return -torch.cdist(pooled, self.sums / self.counts[:, None], compute_mode="donot_use_mm_for_euclid_dist")
