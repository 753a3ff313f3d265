"""Robust variances against statsmodels and by hand; those under normality against least squares and repeated draws."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import pearsonr
from sklearn.metrics import r2_score

from fedtune3d.evaluation.regression.joint_sums import JointSums
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.number_sums import NumberSums
from fedtune3d.evaluation.regression.variances import LineVariances, VarianceRatios, jackknife_variances

Draw = Callable[..., NumberPredictions]


def least_squares(drawn: NumberPredictions) -> sm.OLS:
    return sm.OLS(drawn.truth, sm.add_constant(drawn.predicted))


def test_with_one_scan_each_the_variance_of_the_line_is_hc3(draw_numbers: Draw) -> None:
    drawn = draw_numbers(3, 25)
    expected = np.diag(least_squares(drawn).fit().cov_HC3) * 24 / 25
    found = jackknife_variances(drawn)
    assert (found.intercept, found.slope) == pytest.approx(tuple(expected), rel=1e-9)


@pytest.mark.parametrize("scans_each", [1, 3])
def test_leaving_out_each_person_in_turn_by_hand(draw_numbers: Draw, scans_each: int) -> None:
    drawn = draw_numbers(3, 12, scans_each)
    codes = drawn.participant_codes()

    def values(rows: np.ndarray) -> list[float]:
        truth, predicted = drawn.truth[rows], drawn.predicted[rows]
        slope, intercept = np.polyfit(predicted, truth, 1)
        r_squared, correlation = r2_score(truth, predicted), pearsonr(truth, predicted).statistic
        return [np.log(1 - r_squared), slope, intercept, np.arctanh(correlation)]

    every = values(codes >= 0)
    apart = np.array([values(codes != person) for person in range(12)]) - every
    found = jackknife_variances(drawn)
    expected = 11 / 12 * (apart**2).sum(axis=0) * [np.exp(every[0]) ** 2, 1, 1, (1 - np.tanh(every[3]) ** 2) ** 2]
    assert [found.r_squared, found.slope, found.intercept, found.pearson] == pytest.approx(expected, rel=1e-8)


def test_variances_under_normality_of_the_line_are_those_of_least_squares(draw_numbers: Draw) -> None:
    drawn = draw_numbers(3)
    expected = least_squares(drawn).fit().cov_params()
    found = LineVariances.under_normality(JointSums.of(drawn, 70.0), 70.0)
    assert (found.intercept, found.slope) == pytest.approx((expected[0, 0], expected[1, 1]), rel=1e-9)


def test_standard_errors_certified_by_nist(norris: NumberPredictions) -> None:
    found = LineVariances.under_normality(JointSums.of(norris, 500.0), 500.0)
    assert found.intercept**0.5 == pytest.approx(0.232818234301152, rel=1e-9)
    assert found.slope**0.5 == pytest.approx(0.000429796848199937, rel=1e-9)


def test_variances_are_those_of_repeated_test_sets(draw_numbers: Draw) -> None:
    """Of 400 sets of 60 people, the mean of both variances is close to the variance of the measure."""
    sets = [draw_numbers(seed, 60) for seed in range(400)]
    r_squared, pearson, models, robust = [], [], [], []
    for drawn in sets:
        r_squared.append(1 - np.sum(drawn.errors**2) / np.sum((drawn.truth - drawn.truth.mean()) ** 2))
        pearson.append(np.corrcoef(drawn.truth, drawn.predicted)[0, 1])
        model = LineVariances.under_normality(JointSums.of(drawn, 70.0), 70.0)
        models.append((model.r_squared, model.pearson))
        left_out = jackknife_variances(drawn)
        robust.append((left_out.r_squared, left_out.pearson))
    spread = (np.var(r_squared), np.var(pearson))
    assert np.mean(models, axis=0) == pytest.approx(spread, rel=0.2)
    ratio = np.mean(robust, axis=0) / spread
    assert ((ratio > 0.9) & (ratio < 1.3)).all()  # the jackknife is on the great side (Efron and Stein)


def test_repeated_scans_make_the_ratio_greater(draw_numbers: Draw) -> None:
    """Copies of scans add nothing: as people are the observations, the ratio is that of one scan each."""
    drawn = draw_numbers(5, 30)
    copies = NumberPredictions(
        drawn.participants * 3,
        tuple(str(copy) for copy in range(3) for _ in range(30)),
        np.tile(drawn.truth, 3),
        np.tile(drawn.predicted, 3),
    )
    assert vars(VarianceRatios.of(copies)) == pytest.approx(vars(VarianceRatios.of(drawn)), rel=1e-9)


def test_too_few_people_or_numbers_that_do_not_vary(draw_numbers: Draw, no_numbers: NumberPredictions) -> None:
    drawn = draw_numbers(1, 20)
    constant = replace(drawn, predicted=np.full(20, 70.0))
    for none in (no_numbers, draw_numbers(1, 3), constant, replace(drawn, predicted=drawn.truth)):
        assert VarianceRatios.of(none) is None


def test_from_sums_the_ratio_is_that_of_the_squared_errors_and_at_least_one(draw_numbers: Draw) -> None:
    drawn = draw_numbers(1, 200)
    tails = replace(drawn, predicted=drawn.truth + np.random.default_rng(1).standard_t(3, 200))
    ratio = VarianceRatios.from_sums(NumberSums.of(tails, 70.0)).slope
    errors = tails.errors**2
    assert ratio == pytest.approx(errors.var(ddof=1) / (2 * errors.mean() ** 2))
    assert ratio > 1.5
    signs = replace(drawn, predicted=drawn.truth + np.resize([1.0, -1.0], 200))  # all squares are equal
    assert VarianceRatios.from_sums(NumberSums.of(signs, 70.0)) == VarianceRatios(1.0, 1.0, 1.0, 1.0)
