"""Measures against scikit-learn, SciPy, statsmodels and values certified by NIST."""

from collections.abc import Callable

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import pearsonr, spearmanr, ttest_1samp
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from fedtune3d.evaluation.regression.measures import NumberEstimates, estimates, measures, spearman_correlation
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.number_sums import NumberSums
from fedtune3d.evaluation.regression.variances import VarianceRatios

Draw = Callable[..., NumberPredictions]


def measured(drawn: NumberPredictions, ratios: VarianceRatios | None = None, shared: bool = True) -> NumberEstimates:
    spearman = spearman_correlation(drawn) if shared else None
    found = measures(NumberSums.of(drawn, 70.0), 70.0, ratios, spearman)
    return estimates(found, drawn.people, shared, ratios is not None)


@pytest.mark.parametrize("scans_each", [1, 3])
@pytest.mark.parametrize("people", [5, 40, 300])
def test_values_are_those_of_independent_code(draw_numbers: Draw, people: int, scans_each: int) -> None:
    drawn = draw_numbers(people, people, scans_each)
    found = measured(drawn, VarianceRatios.of(drawn))
    line = sm.OLS(drawn.truth, sm.add_constant(drawn.predicted)).fit()
    expected = {
        "mae": mean_absolute_error(drawn.truth, drawn.predicted),
        "rmse": root_mean_squared_error(drawn.truth, drawn.predicted),
        "bias": np.mean(drawn.predicted - drawn.truth),
        "r_squared": r2_score(drawn.truth, drawn.predicted),
        "slope": line.params[1],
        "intercept": line.params[0],
        "pearson": pearsonr(drawn.truth, drawn.predicted).statistic,
        "spearman": spearmanr(drawn.truth, drawn.predicted).statistic,
    }
    for name, value in expected.items():
        estimate = getattr(found, name)
        assert estimate.value == pytest.approx(value, abs=1e-9), name
        assert estimate.low < value < estimate.high, name
        assert estimate.mark == ("few" if people == 5 else None)
    assert 0 < found.mae.low < found.mae.value <= found.rmse.value
    assert -1 < found.pearson.low < found.pearson.high < 1
    assert found.r_squared.high < 1


def test_with_one_scan_each_the_interval_of_the_bias_is_that_of_a_t_test(draw_numbers: Draw) -> None:
    drawn = draw_numbers(2, 23)
    low, high = ttest_1samp(drawn.errors, 0).confidence_interval(0.95)
    assert measured(drawn).bias.limits[1:] == pytest.approx((low, high), abs=1e-9)


def test_under_normality_the_interval_of_the_line_is_that_of_least_squares(draw_numbers: Draw) -> None:
    drawn = draw_numbers(2, 23)
    expected = sm.OLS(drawn.truth, sm.add_constant(drawn.predicted)).fit().conf_int()
    found = measured(drawn, VarianceRatios(1.0, 1.0, 1.0, 1.0), shared=False)
    assert found.intercept.limits[1:] == pytest.approx(expected[0], abs=1e-8)
    assert found.slope.limits[1:] == pytest.approx(expected[1], abs=1e-9)
    assert found.spearman.undefined == "ranks need all sites' predictions"


def test_from_sums_alone_it_is_as_wide_or_wider(draw_numbers: Draw) -> None:
    drawn = draw_numbers(2, 23)
    normal = measured(drawn, VarianceRatios(1.0, 1.0, 1.0, 1.0), shared=False).slope
    found = measured(drawn, shared=False).slope
    assert found.high - found.low >= normal.high - normal.low
    assert "from sums" in found.method


def test_line_and_correlation_certified_by_nist(norris: NumberPredictions) -> None:
    found = measured(norris)
    assert found.intercept.value == pytest.approx(-0.262323073774029, rel=1e-9)
    assert found.slope.value == pytest.approx(1.00211681802045, rel=1e-9)
    assert found.pearson.value**2 == pytest.approx(0.999993745883712, rel=1e-9)


def test_the_interval_of_a_rank_correlation_by_hand(draw_numbers: Draw) -> None:
    """Bonett and Wright, 2000, Psychometrika 65:23–28: z ± t √((1 + ρ²/2) / (n − 3)), here with t for the normal."""
    drawn = draw_numbers(6, 50)
    rho = spearmanr(drawn.truth, drawn.predicted).statistic
    reach = 2.009575237129240 * np.sqrt((1 + rho**2 / 2) / 47)  # t with 49 degrees of freedom
    assert measured(drawn).spearman.low == pytest.approx(np.tanh(np.arctanh(rho) - reach), abs=1e-9)


def test_copies_of_scans_make_no_interval_narrower(draw_numbers: Draw) -> None:
    drawn = draw_numbers(5, 30)
    sessions = tuple(str(copy) for copy in range(3) for _ in range(30))
    copies = NumberPredictions(drawn.participants * 3, sessions, np.tile(drawn.truth, 3), np.tile(drawn.predicted, 3))
    one, three = (measured(part, VarianceRatios.of(part)) for part in (drawn, copies))
    for name, estimate in vars(one).items():
        assert getattr(three, name).limits == pytest.approx(estimate.limits, abs=1e-9), name


def test_reasons_why_there_is_none(draw_numbers: Draw, no_numbers: NumberPredictions) -> None:
    nobody = measured(no_numbers)
    assert {estimate.undefined for estimate in vars(nobody).values()} == {"no test scans, or too few for the policy"}
    alone = measured(draw_numbers(1, 1, 4))
    assert (alone.mae.undefined, alone.pearson.undefined) == ("fewer than two people", "fewer than 4 people")
    three = measured(draw_numbers(1, 3))
    assert (three.mae.undefined, three.slope.undefined) == (None, "fewer than 4 people")
    drawn = draw_numbers(1)
    perfect = measured(NumberPredictions(drawn.participants, drawn.sessions, drawn.truth, drawn.truth))
    assert perfect.mae.undefined == "a value of 0 has no interval"
    assert perfect.rmse.undefined == "no errors"
    assert "every prediction is right" in perfect.slope.undefined
