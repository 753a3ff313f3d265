"""Choice of thresholds on validation counts."""

import numpy as np

from fedtune3d.evaluation.confusion import NO_THRESHOLD
from fedtune3d.evaluation.grid import EDGES


def choose_threshold(negatives: np.ndarray, positives: np.ndarray) -> float | None:
    """Choose the threshold on the grid with the highest Youden's J = sensitivity + specificity − 1.

    A scan is positive at or above it. Thresholds between the same two scans are equivalent: among the best, the middle
    of the longest contiguous run is chosen (the widest gap in the logit, the lowest if there are several), which leaves
    a margin on either side.

    Args:
        negatives: (BINS,) validation counts from `grid.grid_counts`, summed over sites.
        positives: The same for the positive class.

    Returns:
        A value in `grid.EDGES`, or None if a class has no validation scans.

    References:
        Youden, 1950, Cancer 3:32–35. The paper does not specify ties.
    """
    if not negatives.any() or not positives.any():
        return None
    false_negatives, true_negatives = np.cumsum(positives)[:-1], np.cumsum(negatives)[:-1]
    # J × both class sizes, in integers: ties are exact.
    youden = true_negatives * positives.sum() - false_negatives * negatives.sum()
    best = np.flatnonzero(youden == youden.max())
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    widest = max(runs, key=len)
    return float(EDGES[widest[len(widest) // 2]])


def threshold_at_specificity(negatives: np.ndarray, positives: np.ndarray, specificity: float) -> float | None:
    """Choose the threshold on the grid with the highest sensitivity among those with at least this specificity.

    Among thresholds between the same two scans, the middle one is chosen, which leaves a margin on either side.

    Args:
        negatives: (BINS,) validation counts from `grid.grid_counts`, summed over sites.
        positives: The same for the positive class.
        specificity: Required specificity in [0, 1].

    Returns:
        A value in `grid.EDGES`, or None if a class has no validation scans or no threshold is specific enough.
    """
    if not negatives.any() or not positives.any():
        return None
    true_negatives, false_negatives = np.cumsum(negatives)[:-1], np.cumsum(positives)[:-1]
    specific = np.flatnonzero(true_negatives >= specificity * negatives.sum() - 1e-9)
    if not len(specific):
        return None
    first = specific[0]
    same = (true_negatives == true_negatives[first]) & (false_negatives == false_negatives[first])
    equivalent = np.flatnonzero(same)
    return float(EDGES[equivalent[len(equivalent) // 2]])


def why_not_specific(negatives: np.ndarray, positives: np.ndarray, specificity: float) -> str:
    """Return why `threshold_at_specificity` finds no threshold: a class has no scans, or probabilities are saturated.

    The grid ends at a logit of 10. Negative scans beyond it are above every threshold.
    """
    if not negatives.any() or not positives.any():
        return NO_THRESHOLD
    return (
        f"no threshold: more than {1 - specificity:.0%} of the negative validation scans have a probability of at "
        f"least {EDGES[-1]:.5f}, the highest threshold on the grid"
    )
