"""The variance of an AUC without resampling: DeLong's, and Obuchowski's for participants with several scans."""

import math

import numpy as np

from fedtune3d.evaluation.estimate import FEW, Estimate, Z, defined, undefined
from fedtune3d.evaluation.predictions import Predictions, participants_by_class, why_undefined
from fedtune3d.evaluation.sample import FROM_COUNTS

DELONG = "DeLong 1988, normal interval"
OBUCHOWSKI = "Obuchowski 1997, participants as clusters, normal interval"


def delong_estimate(predictions: Predictions) -> Estimate:
    """Estimate the AUC with the normal interval from its clustered variance, clipped to [0, 1].

    With one scan per participant, this is DeLong's interval, as in pROC and SAS. Undefined with fewer than two
    participants in a class, or if the variance is 0 (an AUC of 0 or 1).
    """
    missing = why_undefined(*np.bincount(predictions.labels, minlength=2))
    if missing:
        return undefined(missing)
    auc, variance = auc_and_variance(predictions)
    return _normal(auc, variance, method_name(predictions), few=min(participants_by_class(predictions)) < FEW)


def auc_and_variance(predictions: Predictions) -> tuple[float, float | None]:
    """The AUC of scans of both classes and its clustered variance; None with under two participants of a class."""
    auc, placements = structural_components(predictions.labels, predictions.probabilities)
    return auc, clustered_variance(placements - auc, predictions)


def _normal(auc: float, variance: float | None, method: str, few: bool) -> Estimate:
    if variance is None:
        return undefined("fewer than two participants in a class")
    if variance == 0:
        return undefined(f"an AUC of {auc:g} has no variance")
    half_width = Z * math.sqrt(variance)
    return defined(auc, (max(0.0, auc - half_width), min(1.0, auc + half_width)), method, few)


def method_name(predictions: Predictions) -> str:
    """Return the name of the variance: with one scan per participant, Obuchowski's equals DeLong's."""
    return DELONG if len(set(predictions.participants)) == len(predictions) else OBUCHOWSKI


def structural_components(labels: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """Compute the AUC and, for each scan, the share of the other class's scans that it is ordered correctly with.

    Args:
        labels: (n,) 0 or 1, with both classes.
        scores: (n,) in any unit; ties count half.

    Returns:
        The AUC and (n,) components: V₁₀ at positive scans, V₀₁ at negative ones; their mean over each class is the AUC.

    References:
        DeLong, DeLong and Clarke-Pearson, 1988, Biometrics 44:837–845 (V₁₀ and V₀₁); by midranks as in Sun and
        Xu, 2014, IEEE Signal Process. Lett. 21:1389–1393.
    """
    from scipy.stats import rankdata

    labels = np.asarray(labels)
    rank_in_class = np.empty(len(labels))
    for label in (0, 1):
        rank_in_class[labels == label] = rankdata(scores[labels == label])
    other_class_below = rankdata(scores) - rank_in_class
    positives = int(labels.sum())
    components = np.where(labels == 1, other_class_below / (len(labels) - positives), 1 - other_class_below / positives)
    return float(components[labels == 1].mean()), components


def clustered_variance(deviations: np.ndarray, predictions: Predictions) -> float | None:
    """Compute the variance of an AUC, or of a difference of two AUCs on the same scans, with participants as clusters.

    S₁₀/M + S₀₁/N + 2 S₁₁/(M N) for M positive and N negative scans, where I₁₀ participants have positive scans, I₀₁
    negative ones and I any: S₁₀ = I₁₀ / ((I₁₀ − 1) M) Σᵢ aᵢ², S₀₁ likewise, S₁₁ = I / (I − 1) Σᵢ aᵢ bᵢ, and aᵢ and bᵢ
    are the sums of the deviations of a participant's positive and negative scans. With one scan per participant, this
    is DeLong's variance.

    Args:
        deviations: (n,) structural components minus their AUC, or the difference of two such.
        predictions: The (n,) scans.

    Returns:
        The variance; None with fewer than two participants in a class.

    References:
        Obuchowski, 1997, Biometrics 53:567–578.
    """
    codes, labels = predictions.participant_codes(), predictions.labels
    sums = {label: np.bincount(codes, weights=deviations * (labels == label)) for label in (0, 1)}
    clusters = dict(zip((0, 1), participants_by_class(predictions), strict=True))
    scans = {label: int(np.sum(labels == label)) for label in (0, 1)}
    if min(clusters.values()) < 2:
        return None
    within = sum(
        clusters[label] / (clusters[label] - 1) * np.sum((sums[label] / scans[label]) ** 2) for label in (0, 1)
    )
    people = len(sums[0])
    shared = 2 * people / (people - 1) * np.sum(sums[0] * sums[1]) / (scans[0] * scans[1])
    return max(0.0, float(within + shared))


def influence(deviations: np.ndarray, predictions: Predictions) -> dict[str, float]:
    """Return participant → their part in the AUC's error, scaled so that the sum of squares is Obuchowski's variance.

    Sums of products with the parts in the error of another AUC of the same people estimate the covariance of the two.

    Args:
        deviations: (n,) as in `clustered_variance`.
        predictions: The (n,) scans, of at least two participants of each class.
    """
    codes, labels = predictions.participant_codes(), predictions.labels
    total = np.zeros(codes.max() + 1)
    for label, clusters in zip((0, 1), participants_by_class(predictions), strict=True):
        of_class = np.bincount(codes, weights=deviations * (labels == label))
        total += math.sqrt(clusters / (clusters - 1)) * of_class / np.sum(labels == label)
    return dict(zip(sorted(set(predictions.participants)), total.tolist(), strict=True))


def delong_from_counts(
    negatives: np.ndarray, positives: np.ndarray, participants: tuple[int, int], source: str = FROM_COUNTS
) -> Estimate:
    """Estimate the AUC from counts on ascending bins, with DeLong's interval for the number of participants per class.

    Undefined in the same cases as `delong_estimate`.

    Args:
        negatives: (bins,) counts.
        positives: (bins,) counts.
        participants: Numbers of people with a negative scan and with a positive scan.
        source: Source of the counts, for the method's name.
    """
    missing = why_undefined(int(negatives.sum()), int(positives.sum()))
    if missing:
        return undefined(missing)
    auc, variance = auc_and_variance_from_counts(negatives, positives, participants)
    return _normal(auc, variance, f"{DELONG}; {source}", few=min(participants) < FEW)


def auc_and_variance_from_counts(
    negatives: np.ndarray, positives: np.ndarray, participants: tuple[int, int]
) -> tuple[float, float | None]:
    """Compute the AUC of counts on ascending bins and DeLong's variance; None with fewer than two people in a class.

    With one scan per participant, it is DeLong's variance of the binned scans; with several, it is conservative: it
    treats a person's scans as copies of one another.

    Args:
        negatives: (bins,) counts, not all 0.
        positives: (bins,) counts, not all 0.
        participants: People with a negative scan, and with a positive one.
    """
    components = {
        1: (np.cumsum(negatives) - negatives / 2) / negatives.sum(),
        0: 1 - (np.cumsum(positives) - positives / 2) / positives.sum(),
    }
    auc = float(positives @ components[1] / positives.sum())
    if min(participants) < 2:
        return auc, None
    variance = sum(
        counts @ (components[label] - auc) ** 2 / counts.sum() / (participants[label] - 1)
        for label, counts in ((0, negatives), (1, positives))
    )
    return auc, float(variance)
