"""NCC, the nearest class centre on pooled frozen features: nothing is trained, sites send sums and counts."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from fedtune3d._utils.errors import InputError


@dataclass(frozen=True)
class ClassSums:
    """Sums of pooled features by class; adding those of all sites gives the sums over all scans.

    Attributes:
        sums: (2, channels) float64; row 0 negative, row 1 positive.
        counts: (2,) int64, scans of each class.
    """

    sums: np.ndarray
    counts: np.ndarray

    def __add__(self, other: "ClassSums") -> "ClassSums":
        return ClassSums(self.sums + other.sums, self.counts + other.counts)


def pool_features(features: Iterable[torch.Tensor | np.ndarray]) -> np.ndarray:
    """The mean over positions of each scan: (channels, D, H, W) features, one by one → (n, channels) float64."""
    pooled = [np.asarray(scan, dtype=np.float64).mean(axis=(1, 2, 3)) for scan in features]
    return np.stack(pooled) if pooled else np.empty((0, 0))


def class_sums(features: Iterable[torch.Tensor | np.ndarray], labels: Iterable[int]) -> ClassSums:
    """Sum pooled features by class.

    Args:
        features: The features (channels, D, H, W) of each scan; an (n, channels, D, H, W) array will do, and so will a
            generator, since only the pooled ones are kept.
        labels: 0 or 1 for each scan.

    Raises:
        ValueError: If there are no scans, if labels and scans differ in number or a label is not 0 or 1.
    """
    pooled, classes = pool_features(features), np.asarray(list(labels))
    if not len(pooled) or len(pooled) != len(classes) or not np.isin(classes, (0, 1)).all():
        raise ValueError(
            f"expected a label 0 or 1 for each of {len(pooled)} (at least 1) scans, got {classes.tolist()}"
        )
    rows = [pooled[classes == label] for label in (0, 1)]
    return ClassSums(np.stack([row.sum(axis=0) for row in rows]), np.array([len(row) for row in rows]))


def add(parts: Iterable[ClassSums]) -> ClassSums:
    """The class sums over all parts, which are added in the order given. Raises ValueError if there are none."""
    first, *others = parts
    return sum(others, start=first)


def centres(total: ClassSums) -> np.ndarray:
    """The mean of the pooled features of each class, (2, channels) float64.

    Over the added sums of all sites these are the centres over all scans. An average of the sites' centres would not
    be, where sites differ in size or in prevalence.

    Raises:
        InputError: If a class has no scan.
    """
    for name, count in zip(("negative", "positive"), total.counts, strict=True):
        if not count:
            raise InputError(
                f"ncc: expected scans of both classes over all sites, got no {name} one; add a site that has some"
            )
    means: np.ndarray = total.sums / total.counts[:, None]
    return means


def distance_scores(features: Iterable[torch.Tensor | np.ndarray], class_centres: np.ndarray) -> np.ndarray:
    """How much nearer each scan is to the positive centre: distance to the negative one less that to the positive one.

    Args:
        features: As in `class_sums`.
        class_centres: (2, channels), from `centres`.

    Returns:
        (n,) float64, Euclidean distances in the features' units: above 0 means nearer to the positive centre. It is a
        score, not a probability.

    References:
        Mensink et al., 2013, doi:10.1109/TPAMI.2013.83 (the nearest class mean classifier).
    """
    pooled = pool_features(features)
    if not len(pooled):
        return np.empty(0)
    to_negative, to_positive = (np.linalg.norm(pooled - centre, axis=1) for centre in class_centres)
    return np.asarray(to_negative - to_positive)
