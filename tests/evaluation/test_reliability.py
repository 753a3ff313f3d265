from collections.abc import Callable

import numpy as np
import pytest
from sklearn.calibration import calibration_curve as sklearn_curve

from fedtune3d.evaluation.intervals import wilson
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.reliability import calibration_curve, calibration_error
from fedtune3d.evaluation.sample import Sample


def test_by_hand(one_scan_each: Callable) -> None:
    """Bins [0, 0.1) with 0.05, 0.05 and one positive; [0.9, 1] with 0.95 and a positive: (0.9 + 0.05) / 3."""
    sample = Sample.of_predictions(one_scan_each(np.array([0, 1, 1]), np.array([0.05, 0.05, 0.95])))
    assert calibration_error(sample).value == pytest.approx(0.95 / 3)
    low, high = calibration_curve(sample)
    assert (low.low_edge, low.high_edge, low.scans, high.scans) == (0, 0.1, 2, 1)
    assert low.mean_probability == pytest.approx(0.05)
    assert (low.observed.low, low.observed.high) == pytest.approx(wilson(0.5, 2))
    # E|X − 0.1| of X ~ B(2, 0.05) is 0.1 · 0.9025 + 0.9 · 0.095 + 1.9 · 0.0025, and of B(1, 0.95) it is 2 · 0.95 · 0.05
    expected = (0.1 * 0.9025 + 0.9 * 0.095 + 1.9 * 0.0025 + 2 * 0.95 * 0.05) / 3
    assert calibration_error(sample).if_calibrated == pytest.approx(expected)


def test_curve_equals_scikit_learn(clustered: Callable) -> None:
    predictions = clustered(np.random.default_rng(1), 200, 1, 0.8, False)
    points = calibration_curve(Sample.of_predictions(predictions))
    shares, means = sklearn_curve(predictions.labels, predictions.probabilities, n_bins=10)
    np.testing.assert_allclose([point.observed.value for point in points], shares)
    np.testing.assert_allclose([point.mean_probability for point in points], means)
    weights = np.array([point.scans for point in points]) / 200
    error = calibration_error(Sample.of_predictions(predictions))
    assert error.value == pytest.approx(weights @ np.abs(shares - means))


def test_the_error_of_a_calibrated_model_is_what_it_says(one_scan_each: Callable) -> None:
    rng = np.random.default_rng(2)
    probabilities = rng.uniform(size=80)
    errors = []
    for _ in range(500):
        labels = (rng.uniform(size=80) < probabilities).astype(int)
        errors.append(calibration_error(Sample.of_predictions(one_scan_each(labels, probabilities))))
    assert np.mean([error.value for error in errors]) == pytest.approx(errors[0].if_calibrated, rel=0.05)


def test_intervals_count_people() -> None:
    names = ("a", "a", "b", "c")
    predictions = Predictions(names, ("1", "2", "", ""), np.array([1, 1, 0, 1]), np.full(4, 0.55))
    observed = calibration_curve(Sample.of_predictions(predictions))[0].observed
    assert (observed.low, observed.high) == pytest.approx(wilson(0.75, 3))
    assert observed.mark == "few"


def test_nothing() -> None:
    empty = Sample.of_predictions(Predictions((), (), np.array([]), np.array([])))
    assert calibration_curve(empty) == ()
    assert calibration_error(empty).value is None
