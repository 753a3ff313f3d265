"""The area under the ROC curve, and its bootstrap with people, not scans, as the unit.

The estimate uses all scans. The bootstrap resamples participants within their class, where a participant's class is the
label of their scans; those with scans of both labels (converters) form a class of their own, and count in both classes
wherever participants are counted.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from fedtune3d.evaluation.predictions import Predictions

DRAWS = 2_000
_CHUNK_ELEMENTS = 2_000_000


def auc_from_counts(negatives: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Compute the AUC from counts per class on ascending bins: the share of correctly ordered pairs, with ties as half.

    Args:
        negatives: (…, bins) integer counts; leading axes, such as bootstrap draws, are kept.
        positives: (…, bins) integer counts. Each class needs at least one count.

    References:
        Bamber, 1975, J. Math. Psychol. 12:387–415 (the AUC as the Mann–Whitney statistic).
    """
    below = np.cumsum(negatives, axis=-1) - negatives
    twice_correct = np.sum(positives * (2 * below + negatives), axis=-1)
    auc: np.ndarray = twice_correct / (2 * negatives.sum(axis=-1) * positives.sum(axis=-1))
    return auc


def area_under_curve(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Compute the AUC of (n,) 0/1 labels and probabilities. Raises `ValueError` if a class has no scan."""
    labels = np.asarray(labels)
    bins = np.unique(probabilities, return_inverse=True)[1].reshape(-1)
    negatives, positives = (np.bincount(bins[labels == label], minlength=len(bins)) for label in (0, 1))
    if not negatives.any() or not positives.any():
        raise ValueError("AUC needs scans of both classes")
    return float(auc_from_counts(negatives, positives))


def participant_strata(predictions: Predictions) -> np.ndarray:
    """Return (participants,) int in the order of participant codes: 0 only negative scans, 1 only positive, 2 both."""
    codes = predictions.participant_codes()
    has_negative, has_positive = (np.bincount(codes, weights=predictions.labels == label) > 0 for label in (0, 1))
    return np.where(has_negative & has_positive, 2, np.where(has_positive, 1, 0))


def bootstrap_auc(predictions: Predictions, strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Compute (DRAWS,) bootstrap AUCs, drawing the participants of every stratum with replacement.

    Args:
        predictions: Scans of both classes.
        strata: (participants,) int, the stratum of each participant in the order of participant codes. Those with only
            negative scans, only positive scans, and both must be in different strata, so that no draw lacks a class.
        rng: Random generator, used stratum by stratum.
    """
    codes = predictions.participant_codes()
    order = np.argsort(predictions.probabilities, kind="stable")
    sorted_values = predictions.probabilities[order]
    bin_starts = np.flatnonzero(np.r_[True, sorted_values[1:] != sorted_values[:-1]])
    positive = predictions.labels[order] == 1
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]

    def aucs(draws: int) -> np.ndarray:
        times_drawn = np.zeros((draws, len(strata)), dtype=np.int64)
        for group in members:
            times_drawn[:, group] = rng.multinomial(len(group), np.full(len(group), 1 / len(group)), size=draws)
        scans = times_drawn[:, codes[order]]
        counts = (np.add.reduceat(scans * of_class, bin_starts, axis=1) for of_class in (~positive, positive))
        return auc_from_counts(*counts)

    return np.concatenate([aucs(draws) for draws in _chunks(len(predictions))])


def bootstrap_grid_auc(strata: Sequence[tuple[np.ndarray, int, int]], rng: np.random.Generator) -> np.ndarray:
    """Compute the (DRAWS,) AUCs of `draw_grid_counts`."""
    return np.concatenate([auc_from_counts(*drawn) for drawn in draw_grid_counts(strata, rng)])


def draw_grid_counts(
    strata: Sequence[tuple[np.ndarray, int, int]], rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw `DRAWS` bootstrap counts on an ascending scale, each with one scan per participant of a stratum.

    Args:
        strata: (counts (bins,), participants, label) of each stratum. With one scan per participant, this is the
            bootstrap by participant; with several, it is conservative: it treats a person's scans as copies.
        rng: Random generator, used stratum by stratum.

    Yields:
        (draws, non-empty bins) counts of negatives, and of positives, in chunks of draws.
    """
    used = np.flatnonzero(np.sum([counts for counts, _, _ in strata], axis=0))
    for draws in _chunks(len(used)):
        drawn = np.zeros((2, draws, len(used)), dtype=np.int64)
        for counts, participants, label in strata:
            bins = np.flatnonzero(counts[used])
            drawn[label][:, bins] += rng.multinomial(participants, counts[used][bins] / counts.sum(), size=draws)
        yield drawn[0], drawn[1]


def percentile_interval(draws: np.ndarray) -> tuple[float, float]:
    """Return the 2.5% and 97.5% quantiles of bootstrap draws (Efron and Tibshirani, 1993, chapter 13)."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(low), float(high)


def _chunks(width: int) -> Iterator[int]:
    """Split `DRAWS` into chunks, so that arrays of draws × width stay below a few tens of megabytes."""
    step = max(1, _CHUNK_ELEMENTS // width)
    for start in range(0, DRAWS, step):
        yield min(step, DRAWS - start)
