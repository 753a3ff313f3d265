"""NCC, the nearest class centre on pooled frozen features: no parameter trains, a site sends sums and counts."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from fedtune3d.models.pooling import pool_features


class NearestCentre(nn.Module):
    """Features (B, channels, D, H, W) → logits (B, classes): minus the distances of the pooled features to the centres.

    Of two classes, the score is the difference of the logits: the distance to the negative centre minus that to the
    positive one. Its logistic function increases with it, but is not calibrated as a probability; nor is the softmax of
    more classes. Until every class has a scan, all logits are 0.

    Class sums over all sites, added, give the centres over all scans. An average of the sites' own centres would not,
    where sites differ in size or in prevalence.

    Attributes:
        sums: (classes, channels) float64, the sum of the pooled features of each class.
        counts: (classes,) int64, its scans.

    References:
        Mensink et al., 2013, doi:10.1109/TPAMI.2013.83 (the nearest class mean classifier).
    """

    sums: torch.Tensor
    counts: torch.Tensor

    def __init__(self, in_channels: int, classes: int = 2) -> None:
        super().__init__()
        self.register_buffer("sums", torch.zeros(classes, in_channels, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(classes, dtype=torch.int64))

    def fit(self, features: Iterable[torch.Tensor], labels: Iterable[int]) -> None:
        """Replace the class sums by those of these scans.

        Args:
            features: The features of each scan, (channels, D, H, W); only the pooled ones are kept.
            labels: The index of the class of each scan.

        Raises:
            ValueError: If there are no scans, labels and scans differ in number, or a label is of no class.
        """
        pooled, classes, known = pool_features(features), np.asarray(list(labels)), range(len(self.counts))
        if not len(pooled) or len(pooled) != len(classes) or not np.isin(classes, known).all():
            raise ValueError(
                f"expected a label from 0 to {known[-1]} for each of {len(pooled)} (at least 1) scans, got "
                f"{classes.tolist()}"
            )
        for label in known:
            self.sums[label] = torch.from_numpy(pooled[classes == label].sum(axis=0))
            self.counts[label] = int((classes == label).sum())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        pooled = features.double().mean(dim=(2, 3, 4))
        if not bool(self.counts.all()):
            return pooled.new_zeros(len(pooled), len(self.counts))
        return -torch.cdist(pooled, self.sums / self.counts[:, None], compute_mode="donot_use_mm_for_euclid_dist")
