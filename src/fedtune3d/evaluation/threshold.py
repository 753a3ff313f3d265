"""Thresholds, chosen on validation counts."""

import numpy as np

from fedtune3d.evaluation.grid import EDGES


def choose_threshold(negatives: np.ndarray, positives: np.ndarray) -> float | None:
    """The threshold on the grid with the largest Youden's J = sensitivity + specificity − 1.

    A scan is positive at or above it. Thresholds between the same two scans are equally good: of all the best, the
    longest unbroken run is taken (the widest gap in the logit, the lowest of several), and its middle, so that a new
    scan has room on either side.

    Args:
        negatives: (BINS,) validation counts of `grid.grid_counts`, summed over sites.
        positives: The same for the positive class.

    Returns:
        A value of `grid.EDGES`, or None where a class has no validation scan.

    References:
        Youden, 1950, Cancer 3:32–35. The paper leaves ties open.
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
    """The threshold on the grid with the greatest sensitivity among those of at least this specificity.

    Of thresholds between the same two scans the middle one, so that a new scan has room on either side.

    Args:
        negatives: (BINS,) validation counts of `grid.grid_counts`, summed over sites.
        positives: The same for the positive class.
        specificity: In [0, 1].

    Returns:
        A value of `grid.EDGES`, or None where a class has no validation scan, or no threshold is that specific.
    """
    if not negatives.any() or not positives.any():
        return None
    true_negatives, false_negatives = np.cumsum(negatives)[:-1], np.cumsum(positives)[:-1]
    specific = np.flatnonzero(true_negatives >= specificity * negatives.sum() - 1e-9)
    if not len(specific):
        return None
    first = specific[0]
    same = (true_negatives == true_negatives[first]) & (false_negatives == false_negatives[first])
    alike = np.flatnonzero(same)
    return float(EDGES[alike[len(alike) // 2]])
