"""Robust variances against statsmodels, variances under normality against textbook formulas and repeated draws."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm

from fedtune3d.evaluation.regression.joint_sums import JointSums
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.variances import NormalVariances, VarianceRatios, clustered, influences

Draw = Callable[..., NumberPredictions]


def least_squares(drawn: NumberPredictions) -> sm.OLS:
    return sm.OLS(drawn.truth, sm.add_constant(drawn.predicted))


@pytest.mark.parametrize("scans_each", [1, 3])
def test_robust_variances_of_the_line_are_the_sandwich_of_statsmodels(draw_numbers: Draw, scans_each: int) -> None:
    drawn = draw_numbers(3, 25, scans_each)
    options = {"groups": drawn.participant_codes(), "use_correction": False}
    sandwich = least_squares(drawn).fit(cov_type="cluster", cov_kwds=options).cov_params()
    parts = influences(drawn)
    assert clustered(parts.intercept, drawn) == pytest.approx(sandwich[0, 0] * 25 / 24, rel=1e-9)
    assert clustered(parts.slope, drawn) == pytest.approx(sandwich[1, 1] * 25 / 24, rel=1e-9)


def test_variances_under_normality_of_the_line_are_those_of_least_squares(draw_numbers: Draw) -> None:
    drawn = draw_numbers(3)
    expected = least_squares(drawn).fit().cov_params()
    found = NormalVariances.of(JointSums.of(drawn, 70.0), 70.0)
    assert (found.intercept, found.slope) == pytest.approx((expected[0, 0], expected[1, 1]), rel=1e-9)


def test_standard_errors_certified_by_nist(norris: NumberPredictions) -> None:
    found = NormalVariances.of(JointSums.of(norris, 500.0), 500.0)
    assert found.intercept**0.5 == pytest.approx(0.232818234301152, rel=1e-9)
    assert found.slope**0.5 == pytest.approx(0.000429796848199937, rel=1e-9)


@pytest.mark.parametrize("name", ["r_squared", "pearson", "slope", "intercept"])
def test_parts_are_the_derivative_of_a_measure_by_a_scans_weight(draw_numbers: Draw, name: str) -> None:
    """A little more weight on one scan moves the measure by its part over n."""
    drawn, by = draw_numbers(4, 12), 1e-6

    def measure(weights: np.ndarray) -> float:
        share = weights / weights.sum()
        y, p = drawn.truth, drawn.predicted
        (my, mp), e = (share @ y, share @ p), p - y
        cov = np.cov(y, p, aweights=weights, bias=True)
        slope = cov[0, 1] / cov[1, 1]
        return {
            "r_squared": 1 - share @ e**2 / cov[0, 0],
            "pearson": cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]),
            "slope": slope,
            "intercept": my - slope * mp,
        }[name]

    parts = getattr(influences(drawn), name)
    assert parts.sum() == pytest.approx(0, abs=1e-8)
    for scan in (0, 5):
        weights = np.ones(12)
        weights[scan] += by
        assert (measure(weights) - measure(np.ones(12))) / by * 12 == pytest.approx(parts[scan], rel=1e-3, abs=1e-4)


def test_variances_are_those_of_repeated_test_sets(draw_numbers: Draw) -> None:
    """Of 400 sets of 60 people, the mean of both variances is the variance of the measure within a fifth."""
    sets = [draw_numbers(seed, 60) for seed in range(400)]
    r_squared, pearson, models, robust = [], [], [], []
    for drawn in sets:
        r_squared.append(1 - np.sum(drawn.errors**2) / np.sum((drawn.truth - drawn.truth.mean()) ** 2))
        pearson.append(np.corrcoef(drawn.truth, drawn.predicted)[0, 1])
        model = NormalVariances.of(JointSums.of(drawn, 70.0), 70.0)
        models.append((model.r_squared, model.pearson))
        parts = influences(drawn)
        robust.append((clustered(parts.r_squared, drawn), clustered(parts.pearson, drawn)))
    spread = (np.var(r_squared), np.var(pearson))
    assert np.mean(models, axis=0) == pytest.approx(spread, rel=0.2)
    assert np.mean(robust, axis=0) == pytest.approx(spread, rel=0.2)


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
