"""The line and the correlation of true and predicted numbers, from their sums."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class LineValues:
    """(k,) measures of k sets of scans: R², the line of the true on the predicted number, and their correlation."""

    r_squared: NDArray[np.float64]
    slope: NDArray[np.float64]
    intercept: NDArray[np.float64]
    pearson: NDArray[np.float64]


def line_values(sums: Sequence[NDArray[np.float64]], reference: float) -> LineValues:
    """Compute the measures from sums; not finite where a number does not vary.

    Args:
        sums: (k,) scans, and sums over them as in `JointSums`, in its order: of true and of predicted numbers, of
            squares of the true, of products, of squares of the predicted.
        reference: What numbers were taken minus; it moves the intercept only.
    """
    scans, truth, predicted, truth_squared, product, predicted_squared = sums
    y, p = truth / scans, predicted / scans
    of_truth, of_predicted = truth_squared / scans - y**2, predicted_squared / scans - p**2
    covariance = product / scans - y * p
    slope = covariance / of_predicted
    return LineValues(
        r_squared=1 - (truth_squared - 2 * product + predicted_squared) / scans / of_truth,
        slope=slope,
        intercept=y + reference - slope * (p + reference),
        pearson=covariance / np.sqrt(of_truth * of_predicted),
    )
