"""The correction against the equations of both papers, fitted on validation scans and applied to test scans."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import linregress, pearsonr, sem, t

from fedtune3d.evaluation.regression.corrected_gap import corrected_gap, fit_trend
from fedtune3d.evaluation.regression.joint_sums import JointSums
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions

Draw = Callable[..., NumberPredictions]


def test_the_corrected_gap_is_that_of_both_papers(draw_numbers: Draw) -> None:
    validation, test = draw_numbers(1, 50), draw_numbers(2, 30)
    # Beheshti et al., 2019: the gap's line on age, subtracted from the gap.
    alpha, beta = np.polyfit(validation.truth, validation.errors, 1)
    beheshti = test.errors - (alpha * test.truth + beta)
    # de Lange and Cole, 2020: the prediction's line on age; corrected = predicted + (age − line).
    slope, intercept = np.polyfit(validation.truth, validation.predicted, 1)
    cole = test.predicted + (test.truth - (slope * test.truth + intercept)) - test.truth
    np.testing.assert_allclose(beheshti, cole, atol=1e-9)
    correction = fit_trend(JointSums.of(validation, 70.0), 70.0)
    assert (correction.slope, correction.intercept) == pytest.approx((slope, intercept), abs=1e-9)
    found = corrected_gap(JointSums.of(test, 70.0), 70.0, correction)
    assert found.mean.value == pytest.approx(beheshti.mean(), abs=1e-9)
    assert found.deviation == pytest.approx(np.std(beheshti, ddof=1), abs=1e-9)
    assert found.trend_before.value == pytest.approx(pearsonr(test.errors, test.truth).statistic, abs=1e-9)
    assert found.trend_after.value == pytest.approx(pearsonr(beheshti, test.truth).statistic, abs=1e-9)
    assert found.mean.high == pytest.approx(beheshti.mean() + t.ppf(0.975, 29) * sem(beheshti), abs=1e-9)
    assert abs(found.trend_after.value) < abs(found.trend_before.value)


def test_on_the_scans_that_it_was_fitted_to_nothing_is_left(draw_numbers: Draw) -> None:
    sums = JointSums.of(draw_numbers(1), 70.0)
    found = corrected_gap(sums, 70.0, fit_trend(sums, 70.0))
    assert (found.mean.value, found.trend_after.value) == pytest.approx((0, 0), abs=1e-9)


def test_people_are_the_observations(draw_numbers: Draw) -> None:
    correction = fit_trend(JointSums.of(draw_numbers(1), 70.0), 70.0)
    once, thrice = draw_numbers(2, 20), draw_numbers(2, 20)
    copies = NumberPredictions(once.participants * 3, ("",) * 60, np.tile(once.truth, 3), np.tile(once.predicted, 3))
    found = [corrected_gap(JointSums.of(part, 70.0), 70.0, correction) for part in (thrice, copies)]
    assert found[1].mean.limits == pytest.approx(found[0].mean.limits, abs=1e-9)
    assert found[1].trend_before.limits == pytest.approx(found[0].trend_before.limits, abs=1e-9)


def test_too_few(draw_numbers: Draw, no_numbers: NumberPredictions) -> None:
    assert fit_trend(JointSums.of(no_numbers, 70.0), 70.0) is None
    assert fit_trend(JointSums.of(draw_numbers(1, 2), 70.0), 70.0) is None
    correction = fit_trend(JointSums.of(draw_numbers(1), 70.0), 70.0)
    nobody = corrected_gap(JointSums.of(no_numbers, 70.0), 70.0, correction)
    assert (nobody.deviation, nobody.mean.undefined) == (None, "no test scans, or too few for the policy")
    alone = corrected_gap(JointSums.of(draw_numbers(1, 1), 70.0), 70.0, correction)
    assert (alone.mean.undefined, alone.deviation) == ("fewer than two people", None)
    assert alone.trend_before.undefined is not None


@pytest.mark.parametrize(("slope", "noise", "is_flat"), [(0.0, 5.0, True), (0.7, 4.0, False), (0.5, 0.0, False)])
def test_no_gap_is_corrected_where_the_interval_of_the_slope_reaches_0(
    slope: float, noise: float, is_flat: bool
) -> None:
    """As SciPy's test of the slope, which is that of the correlation; on the line itself it is clear."""
    rng = np.random.default_rng(5)
    truth = rng.normal(70, 9, 40)
    predicted = 72 + slope * (truth - 70) + rng.normal(0, noise, 40)
    names = tuple(f"sub-{row}" for row in range(40))
    sums = JointSums.of(NumberPredictions(names, ("",) * 40, truth, predicted), 70.0)
    correction = fit_trend(sums, 70.0)
    assert correction.is_flat is is_flat
    if noise:
        assert bool(linregress(truth, predicted).pvalue > 0.05) is is_flat
    found = corrected_gap(sums, 70.0, correction)
    assert (found.mean.undefined == "not corrected: slope near 0") is is_flat
    assert (found.deviation is None) is is_flat
