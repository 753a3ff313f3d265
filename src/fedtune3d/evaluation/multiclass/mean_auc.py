"""The mean of several AUCs of the same scans, with an interval that allows for their correlation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtune3d.evaluation.auc_interval import SCORE, AucVariance, mean_auc_interval, shrunken_variance
from fedtune3d.evaluation.delong import clustered_variance, influence
from fedtune3d.evaluation.estimate import FEW, Estimate, defined, undefined
from fedtune3d.evaluation.predictions import Predictions, participants_by_class


@dataclass(frozen=True)
class MeanAucVariance:
    """The variance of the mean of k correlated AUCs as a function of the true AUC θ: Σᵢⱼ rᵢⱼ √(Vᵢ(θ) Vⱼ(θ)) / k².

    Attributes:
        parts: The AUCs' variances.
        correlations: (k, k), 1 on the diagonal.
    """

    parts: tuple[AucVariance, ...]
    correlations: tuple[tuple[float, ...], ...]

    def at(self, theta: float) -> float:
        """The variance if `theta` were the true AUC of every part."""
        deviations = np.sqrt([part.at(theta) for part in self.parts])
        return max(0.0, float(deviations @ np.array(self.correlations) @ deviations)) / len(self.parts) ** 2


@dataclass(frozen=True)
class MeanAuc:
    """The mean of several AUCs of the same scans.

    Attributes:
        estimate: The mean with its score interval.
        variance: Its variance, for the mean over sites; None if the mean is undefined.
    """

    estimate: Estimate
    variance: MeanAucVariance | None


@dataclass(frozen=True)
class PlacedAuc:
    """An AUC with each person's part in its error.

    Attributes:
        auc: The AUC.
        variance: Its variance by `shrunken_variance`.
        influence: Person → their part, whose squares add up to DeLong's or Obuchowski's variance; None with fewer than
            two people of a class.
    """

    auc: float
    variance: AucVariance
    influence: dict[str, float] | None

    @classmethod
    def of(cls, auc: float, placements: NDArray[np.float64], predictions: Predictions) -> "PlacedAuc":
        """Create from (n,) structural components, as in `delong.structural_components`."""
        deviations = placements - auc
        clustered = clustered_variance(deviations, predictions)
        return cls(
            auc,
            shrunken_variance(auc, clustered, *participants_by_class(predictions)),
            None if clustered is None else influence(deviations, predictions),
        )


def mean_auc(parts: Sequence[PlacedAuc], what: str, repeated: bool) -> MeanAuc:
    """Estimate the mean of AUCs of the same scans, with the score interval of `mean_auc_interval`.

    Args:
        parts: The AUCs.
        what: Their name, for the method.
        repeated: Whether a person has several scans.
    """
    variance = MeanAucVariance(tuple(part.variance for part in parts), correlations(parts))
    method = f"mean of {what}, {SCORE.format(variance='Obuchowski' if repeated else 'DeLong')}, AUCs correlated"
    return mean_auc_of([part.auc for part in parts], variance, method)


def mean_auc_of(aucs: Sequence[float], variance: MeanAucVariance, method: str) -> MeanAuc:
    """Estimate the mean of AUCs from their values and the variance of their mean."""
    mean = math.fsum(aucs) / len(aucs)
    few = min(min(part.negatives, part.positives) for part in variance.parts) < FEW
    return MeanAuc(defined(mean, mean_auc_interval([mean], [variance]), method, few), variance)


def no_mean_auc(why: str) -> MeanAuc:
    """Create an undefined mean with the reason."""
    return MeanAuc(undefined(why), None)


def correlations(parts: Sequence[PlacedAuc]) -> tuple[tuple[float, ...], ...]:
    """Estimate the (k, k) correlations of AUCs of the same scans from the people's parts in their errors.

    An AUC without variance, such as 1, or with fewer than two people of a class is taken as fully correlated with the
    others, which makes the interval of a mean wider.

    References:
        DeLong, DeLong and Clarke-Pearson, 1988, Biometrics 44:837–845 (covariance of AUCs of the same scans);
        Obuchowski, 1997, Biometrics 53:567–578.
    """
    people = sorted({person for part in parts if part.influence for person in part.influence})
    shares = np.array([[(part.influence or {}).get(person, 0.0) for person in people] for part in parts])
    norms = np.sqrt((shares**2).sum(axis=1))
    directions = shares / np.where(norms > 0, norms, 1.0)[:, None]
    known = np.outer(norms > 0, norms > 0)
    matrix = np.where(known, np.clip(directions @ directions.T, -1, 1), 1.0)
    np.fill_diagonal(matrix, 1.0)
    return tuple(tuple(row) for row in matrix.tolist())


def fully_correlated(count: int) -> tuple[tuple[float, ...], ...]:
    """Return (count, count) ones: the correlations where only counts are known, which makes intervals wider."""
    return ((1.0,) * count,) * count
