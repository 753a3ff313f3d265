import math

import numpy as np
import pytest

from fedtune3d.evaluation.auc_interval import AucVariance, auc_interval
from fedtune3d.evaluation.estimate import Z
from fedtune3d.evaluation.multiclass.mean_auc import (
    MeanAucVariance,
    PlacedAuc,
    correlations,
    fully_correlated,
    mean_auc_of,
)

ONE = AucVariance(1.3, 20, 12)


def test_fully_correlated_parts_are_as_uncertain_as_one() -> None:
    mean = mean_auc_of([0.8, 0.9, 0.7], MeanAucVariance((ONE,) * 3, fully_correlated(3)), "m")
    assert mean.estimate.limits == pytest.approx((0.8, *auc_interval(0.8, ONE)), abs=1e-9)


def test_independent_parts_by_hand() -> None:
    variance = MeanAucVariance((ONE, ONE), ((1.0, 0.0), (0.0, 1.0)))
    assert variance.at(0.8) == pytest.approx(ONE.at(0.8) / 2)
    low = mean_auc_of([0.7, 0.9], variance, "m").estimate.low
    assert (0.8 - low) ** 2 == pytest.approx(Z**2 * ONE.at(low) / 2)


def test_correlations_of_parts_by_hand() -> None:
    parts = [
        PlacedAuc(0.8, ONE, {"a": 0.3, "b": -0.4}),
        PlacedAuc(0.8, ONE, {"b": 0.5, "c": 0.0}),
        PlacedAuc(1.0, ONE, {"a": 0.0, "b": 0.0}),
        PlacedAuc(0.8, ONE, None),
    ]
    matrix = np.array(correlations(parts))
    assert matrix[0, 1] == pytest.approx(-0.4 * 0.5 / (0.5 * 0.5))
    assert (matrix[2:] == 1).all()
    assert (np.diag(matrix) == 1).all()
    assert math.isclose(matrix[1, 0], matrix[0, 1])
