"""Platt scaling; the numbers of a whole run are made anew in `tests/report/test_numbers.py`."""

import numpy as np
import pytest
from scipy.special import expit

from fedtune3d.evaluation.grid import BINS, grid_counts
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.recalibration import PlattScaling, platt_scaling, recalibrated
from fedtune3d.evaluation.sample import Sample


def drawn(rng: np.random.Generator, count: int, too_sure: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from true probabilities, and those of a model whose logits are `too_sure` times as large."""
    logits = rng.normal(0, 1.5, count)
    return (rng.random(count) < expit(logits)).astype(int), expit(too_sure * logits)


def counts(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return np.stack([grid_counts(probabilities[labels == label]) for label in (0, 1)])


def test_a_model_that_is_three_times_too_sure_is_scaled_back() -> None:
    rng = np.random.default_rng(1)
    scaling = platt_scaling(counts(*drawn(rng, 4000, too_sure=3)))
    assert scaling is not None
    assert scaling.slope == pytest.approx(1 / 3, abs=0.03)
    assert scaling.intercept == pytest.approx(0, abs=0.1)
    labels, probabilities = drawn(rng, 1000, too_sure=3)
    names = tuple(f"{number:04d}" for number in range(1000))
    test = Sample.of_predictions(Predictions(names, names, labels, probabilities))
    after = recalibrated(test, scaling).calibration
    assert after.slope.value == pytest.approx(1, abs=0.15)
    scaled = np.array([scaling.probability(value) for value in probabilities])
    assert after.brier.value == pytest.approx(np.mean((scaled - labels) ** 2))
    assert after.brier.value < np.mean((probabilities - labels) ** 2)


def test_classes_that_do_not_overlap_have_a_line_all_the_same() -> None:
    """Two scans of either class: Platt's targets are 1/4 and 3/4, which the line meets: logit ±3 becomes ±ln 3."""
    scaling = platt_scaling(counts(np.array([0, 0, 1, 1]), expit(np.array([-3.0, -3.0, 3.0, 3.0]))))
    assert scaling is not None
    assert (scaling.slope, scaling.intercept) == pytest.approx((np.log(3) / 3, 0), abs=0.01)
    assert scaling.scans == (2, 2)


def test_one_class_is_no_scaling() -> None:
    assert platt_scaling(np.zeros((2, BINS), int)) is None
    assert platt_scaling(counts(np.array([1, 1]), np.array([0.2, 0.8]))) is None


def test_recalibrated_probabilities_stay_on_their_side_of_the_threshold() -> None:
    """Neighbouring floating-point numbers, which a small slope maps to one number, at slopes from 1e-9 to 50."""
    rng = np.random.default_rng(2)
    for slope in 10.0 ** np.linspace(-9, 1.7, 30):
        scaling = PlattScaling(slope, float(rng.normal(0, 3)), (5, 5))
        threshold = float(expit(rng.normal(0, 3)))
        near = [np.nextafter(threshold, 0), threshold, np.nextafter(threshold, 1)]
        for probability in (*map(float, near), 0.0, 1.0, *rng.random(20)):
            scaled = scaling.probability_beside(probability, threshold)
            assert (scaled >= scaling.probability(threshold)) == (probability >= threshold)
            assert scaled == pytest.approx(scaling.probability(probability), rel=1e-15)


def test_a_scaling_that_reverses_the_order_gives_no_probability_beside_a_verdict() -> None:
    scaling = platt_scaling(counts(np.array([1, 1, 0, 0]), expit(np.array([-3.0, -2.0, 2.0, 3.0]))))
    assert scaling is not None
    assert not scaling.keeps_order
    with pytest.raises(ValueError, match="reverses the order"):
        scaling.probability_beside(0.4, 0.5)
