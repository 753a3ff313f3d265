from collections.abc import Callable

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.metrics import brier_score_loss

from fedtune3d.evaluation.calibration import calibration
from fedtune3d.evaluation.estimate import Estimate, Z
from fedtune3d.evaluation.grid import grid_counts
from fedtune3d.evaluation.predictions import Predictions, participants_by_class
from fedtune3d.evaluation.sample import Sample


def on_grid(predictions: Predictions) -> Sample:
    counts = np.stack([grid_counts(predictions.probabilities[predictions.labels == label]) for label in (0, 1)])
    return Sample.of_counts(counts, participants_by_class(predictions), len(set(predictions.participants)))


def fitted(predictions: Predictions, slope: bool, **how: object) -> tuple[float, float, float]:
    """Value and interval of the first coefficient by statsmodels."""
    logits = np.log(predictions.probabilities / (1 - predictions.probabilities))
    design = np.stack([logits, np.ones_like(logits)], axis=1) if slope else np.ones((len(logits), 1))
    model = sm.GLM(predictions.labels, design, family=sm.families.Binomial(), offset=None if slope else logits)
    fit = model.fit(tol=1e-12, **how)
    return (fit.params[0], *fit.conf_int()[0])


def numbers(estimate: Estimate) -> list[float]:
    return list(estimate.limits)


def test_slope_and_intercept_equal_statsmodels(clustered: Callable) -> None:
    predictions = clustered(np.random.default_rng(1), 80, 1, 0.8, False)
    got = calibration(Sample.of_predictions(predictions))
    assert numbers(got.slope) == pytest.approx(fitted(predictions, slope=True), rel=1e-6)
    assert got.intercept.value == pytest.approx(fitted(predictions, slope=False)[0], rel=1e-6)
    assert got.brier.value == pytest.approx(brier_score_loss(predictions.labels, predictions.probabilities))
    assert got.slope.method == "logistic recalibration, normal interval; from predictions"


def test_several_scans_a_person_are_clusters_as_in_statsmodels(clustered: Callable) -> None:
    """Its factor is I / (I − 1) · (n − 1) / (n − k), which goes on after the one here."""
    predictions = clustered(np.random.default_rng(2), 60, 3, 0.75, True)
    people = {"groups": predictions.participant_codes(), "use_correction": True}
    got = calibration(Sample.of_predictions(predictions))
    value, low, high = fitted(predictions, slope=True, cov_type="cluster", cov_kwds=people)
    correction = np.sqrt((len(predictions) - 1) / (len(predictions) - 2))
    expected = [value, value - (value - low) / correction, value + (high - value) / correction]
    assert numbers(got.slope) == pytest.approx(expected, rel=1e-6)
    assert "participants as clusters" in got.slope.method
    assert "participants as clusters" in got.intercept.method


@pytest.mark.parametrize("scans_each", [1, 3])
def test_limits_of_the_intercept_solve_the_score_equation(clustered: Callable, scans_each: int) -> None:
    predictions = clustered(np.random.default_rng(6), 40, scans_each, 0.75, scans_each > 1)
    got = calibration(Sample.of_predictions(predictions)).intercept
    logits = np.log(predictions.probabilities / (1 - predictions.probabilities))
    people = np.array(predictions.participants)
    for limit in (got.low, got.high):
        residuals = predictions.labels - 1 / (1 + np.exp(-logits - limit))
        sums = np.array([residuals[people == person].sum() for person in sorted(set(people))])
        assert residuals.sum() ** 2 == pytest.approx(Z**2 * np.sum(sums**2) * 40 / 39, rel=1e-6)


def test_a_fit_of_extreme_probabilities_does_not_explode(one_scan_each: Callable) -> None:
    """Sure and mostly right: a normal interval of the intercept would span hundreds of logits."""
    labels = np.repeat([0, 1], 12)
    probabilities = np.where(labels == 1, 0.99999, 0.00001)
    probabilities[0] = 0.9999
    got = calibration(Sample.of_predictions(one_scan_each(labels, probabilities)))
    assert got.slope.undefined == "the classes do not overlap, so a logistic fit separates them"
    assert -20 < got.intercept.low < got.intercept.high < 20


def test_counts_on_the_grid_give_nearly_the_same(clustered: Callable) -> None:
    predictions = clustered(np.random.default_rng(3), 120, 1, 0.8, False)
    exact, binned = calibration(Sample.of_predictions(predictions)), calibration(on_grid(predictions))
    for name in ("slope", "intercept", "brier"):
        assert numbers(getattr(binned, name)) == pytest.approx(numbers(getattr(exact, name)), abs=0.01)
        assert getattr(binned, name).method.endswith("from counts on a grid")


def test_copies_of_scans_add_no_certainty(clustered: Callable) -> None:
    single = clustered(np.random.default_rng(4), 60, 1, 0.75, False)
    names, labels, probabilities = (np.repeat(p, 4) for p in (single.participants, single.labels, single.probabilities))
    copies = Predictions(tuple(names), tuple(str(row % 4) for row in range(240)), labels, probabilities)
    exact, of_copies = calibration(Sample.of_predictions(single)), calibration(on_grid(copies))
    for name in ("slope", "intercept", "brier"):
        assert numbers(getattr(of_copies, name)) == pytest.approx(numbers(getattr(exact, name)), abs=0.02)


@pytest.mark.ci
@pytest.mark.parametrize("scans_each", [1, 2])
def test_intervals_hold_the_truth_of_a_calibrated_model(scans_each: int) -> None:
    rng = np.random.default_rng(5)
    held = {"slope": 0, "intercept": 0}
    for _ in range(300):
        logits = rng.normal(0, 1.5, 150)
        labels = np.repeat((rng.uniform(size=150) < 1 / (1 + np.exp(-logits))).astype(int), scans_each)
        names = np.repeat([f"{row:03d}" for row in range(150)], scans_each)
        probabilities = np.repeat(1 / (1 + np.exp(-logits)), scans_each)
        sessions = tuple(str(row % scans_each) for row in range(len(names)))
        got = calibration(Sample.of_predictions(Predictions(tuple(names), sessions, labels, probabilities)))
        for name, truth in (("slope", 1), ("intercept", 0)):
            held[name] += getattr(got, name).low <= truth <= getattr(got, name).high
    assert all(0.92 <= count / 300 <= 0.98 for count in held.values()), held


def test_what_has_no_fit_says_why(one_scan_each: Callable) -> None:
    rising = np.linspace(0.1, 0.9, 20)
    apart = calibration(Sample.of_predictions(one_scan_each(np.repeat([0, 1], 10), rising)))
    assert apart.slope.undefined == "the classes do not overlap, so a logistic fit separates them"
    alike = calibration(Sample.of_predictions(one_scan_each(np.tile([0, 1], 10), 0.5 + rising / 1000)))
    assert alike.slope.undefined == "the probabilities are nearly constant"
    assert alike.intercept.value == pytest.approx(0, abs=0.01)
    few = calibration(Sample.of_predictions(one_scan_each(np.repeat([0, 1], 9), rising[:18])))
    assert few.slope.undefined == few.intercept.undefined == "under 10 people in a class"
    alone = calibration(Sample.of_predictions(one_scan_each(np.array([1, 1]), np.array([0.9, 1.0]))))
    assert alone.intercept.undefined == "one class only"
    assert alone.brier.value == pytest.approx(0.005, abs=1e-6)
    nothing = calibration(Sample.of_predictions(Predictions((), (), np.array([]), np.array([]))))
    assert nothing.brier.undefined == "no test scans, or too few for the policy"


def test_probabilities_of_zero_and_one_count_as_the_limit(one_scan_each: Callable) -> None:
    labels, probabilities = np.array([0, 0, 1, 1, 0, 1]), np.array([0.0, 0.6, 1.0, 0.4, 1.0, 0.0])
    predictions = one_scan_each(np.tile(labels, 4), np.tile(probabilities, 4))
    got = calibration(Sample.of_predictions(predictions))
    assert np.isfinite([*numbers(got.slope), *numbers(got.intercept)]).all()
