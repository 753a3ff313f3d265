"""Distance of a scan's features from those that a model was trained on."""

from dataclasses import dataclass

import numpy as np
import torch

from fedtune3d._utils.state_dicts import State

MIN_SCANS = 8  # fewer do not show how features vary
_COVERAGE = 0.95


@dataclass(frozen=True)
class FeatureStatistics:
    """Mean and covariance of the pooled features of a site's training scans, for distances.

    Attributes:
        mean: (channels,) float64.
        covariance: (channels, channels) float64, shrunk towards a multiple of the identity (Ledoit & Wolf 2004,
            doi:10.1016/S0047-259X(03)00096-4), so that it can be inverted however few scans there are.
        limit: Distance below which a new scan of the same kind stays with a probability of 0.95; see `of`.
    """

    mean: np.ndarray
    covariance: np.ndarray
    limit: float

    @staticmethod
    def of(pooled: np.ndarray) -> "FeatureStatistics":
        """Compute the statistics of pooled features, (n, channels) float64.

        The limit is the ⌈0.95 (n + 1)⌉-th smallest of the leave-one-out distances of each scan from the others
        (jackknife; Barber et al. 2021, doi:10.1214/20-AOS1965), or the largest of them if n is below 19.

        Raises:
            ValueError: If there are fewer than `MIN_SCANS` scans.
        """
        count = len(pooled)
        if count < MIN_SCANS:
            raise ValueError(f"expected features of at least {MIN_SCANS} scans, got {count}")
        others = (np.delete(pooled, left_out, axis=0) for left_out in range(count))
        distances = sorted(_distance(scan, *_moments(rest)) for scan, rest in zip(pooled, others, strict=True))
        rank = min(int(np.ceil(_COVERAGE * (count + 1))), count)
        return FeatureStatistics(*_moments(pooled), limit=distances[rank - 1])

    def distance(self, pooled: np.ndarray) -> float:
        """Return the Mahalanobis distance of one scan's pooled features, (channels,), divided by √channels."""
        return _distance(pooled, self.mean, self.covariance)

    def as_state(self) -> State:
        """Return the statistics as a state dict."""
        return {
            "mean": torch.from_numpy(self.mean),
            "covariance": torch.from_numpy(self.covariance),
            "limit": torch.tensor(self.limit, dtype=torch.float64),
        }

    @staticmethod
    def from_state(state: State) -> "FeatureStatistics":
        """Read the result of `as_state`. Raises `KeyError` if a tensor is missing."""
        return FeatureStatistics(state["mean"].numpy(), state["covariance"].numpy(), float(state["limit"]))


def _moments(pooled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.covariance import ledoit_wolf

    covariance, _ = ledoit_wolf(pooled)
    return pooled.mean(axis=0), covariance


def _distance(scan: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> float:
    deviation = scan - mean
    return float(np.sqrt(deviation @ np.linalg.solve(covariance, deviation) / len(mean)))
