from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import ttest_1samp, ttest_rel

from fedtune3d._utils.errors import InputError
from fedtune3d.evaluation.estimate import NO_VARIANCE
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.paired import (
    EQUAL,
    combine_error_comparisons,
    paired_errors,
    paired_errors_over_seeds,
    require_possible_comparison,
)

Draw = Callable[..., NumberPredictions]


def other_model(drawn: NumberPredictions, seed: int) -> NumberPredictions:
    """The same scans in another order, predicted by another model."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(drawn))
    return NumberPredictions(
        tuple(drawn.participants[row] for row in order),
        tuple(drawn.sessions[row] for row in order),
        drawn.truth[order],
        drawn.predicted[order] + rng.normal(1.0, 3.0, len(drawn)),
    )


def test_with_one_scan_each_it_is_the_paired_t_test(draw_numbers: Draw) -> None:
    first = draw_numbers(1, 25)
    second = other_model(first, 2)
    back = np.argsort(second.participants)
    errors = np.abs(first.errors), np.abs(second.errors[back])
    expected, got = ttest_rel(*errors), paired_errors(first, second)
    assert got.p_value == pytest.approx(expected.pvalue, abs=1e-9)
    assert got.difference.limits == pytest.approx(
        (np.mean(errors[0] - errors[1]), *expected.confidence_interval(0.95)), abs=1e-9
    )
    assert (got.first, got.second) == pytest.approx((errors[0].mean(), errors[1].mean()))
    require_possible_comparison(got)


def test_with_several_scans_each_people_are_clusters(draw_numbers: Draw) -> None:
    first = draw_numbers(1, 15, 3)
    second = replace(first, predicted=first.predicted + np.random.default_rng(1).normal(1, 3, 45))
    apart = np.abs(first.errors) - np.abs(second.errors)
    options = {"groups": first.participant_codes()}
    fit = sm.OLS(apart, np.ones(45)).fit(cov_type="cluster", cov_kwds=options, use_t=True)
    got = paired_errors(first, second)
    assert got.variance == pytest.approx(fit.bse[0] ** 2, abs=1e-9)
    assert got.p_value == pytest.approx(fit.pvalues[0], abs=1e-9)


def test_the_mean_over_sites_is_welch_of_independent_sites(draw_numbers: Draw) -> None:
    parts = {}
    for seed, site in enumerate("AB"):
        first = draw_numbers(seed, 10 + 8 * seed)
        parts[site] = paired_errors(first, other_model(first, seed))
    mean = combine_error_comparisons(parts)
    variances = [part.variance for part in parts.values()]
    assert mean.sites == ("A", "B")
    assert mean.difference.value == pytest.approx(np.mean([part.difference.value for part in parts.values()]))
    assert mean.variance == pytest.approx(sum(variances) / 4)
    assert mean.degrees == pytest.approx(sum(variances) ** 2 / (variances[0] ** 2 / 9 + variances[1] ** 2 / 17))
    assert mean.first - mean.second == pytest.approx(mean.difference.value)
    assert combine_error_comparisons({}).difference.undefined == "no site has two test people"


def test_equal_models_too_few_people_and_no_scans(draw_numbers: Draw, no_numbers: NumberPredictions) -> None:
    drawn = draw_numbers(1)
    same = paired_errors(drawn, drawn)
    assert (same.difference.undefined, same.p_value, same.variance) == (EQUAL, None, 0.0)
    require_possible_comparison(same)
    further = replace(drawn, truth=np.full(40, 64.0), predicted=np.full(40, 66.0))
    apart = paired_errors(further, replace(further, predicted=np.full(40, 65.0)))
    assert (apart.first, apart.second, apart.difference.undefined) == (2.0, 1.0, NO_VARIANCE)
    require_possible_comparison(apart)
    alone = draw_numbers(1, 1, 3)
    assert paired_errors(alone, other_model(alone, 1)).difference.undefined == "fewer than two people"
    assert paired_errors(no_numbers, no_numbers).difference.undefined == "no test scans"


def test_other_scans_are_refused(draw_numbers: Draw) -> None:
    drawn = draw_numbers(1)
    with pytest.raises(InputError, match="same scans"):
        paired_errors(drawn, draw_numbers(1, 39))
    with pytest.raises(InputError, match="same true numbers"):
        paired_errors(drawn, replace(drawn, truth=drawn.truth + 1))
    twice = replace(drawn, participants=("a",) * 40)
    with pytest.raises(InputError, match="one row per scan"):
        paired_errors(twice, twice)


@pytest.mark.parametrize("change", [{"first": -1.0}, {"p_value": 0.5}, {"variance": 9.0}, {"degrees": 0.5}])
def test_impossible_comparisons(draw_numbers: Draw, change: dict[str, float]) -> None:
    drawn = draw_numbers(1)
    with pytest.raises(ValueError, match="comparison"):
        require_possible_comparison(replace(paired_errors(drawn, other_model(drawn, 3)), **change))


def test_over_seeds_of_the_same_people_it_is_the_paired_t_test_of_their_means(draw_numbers: Draw) -> None:
    seeds, apart = {}, []
    for seed in (1, 2, 3):
        first = draw_numbers(seed, 25)
        seeds[seed] = first, other_model(first, 10 + seed)
        back = np.argsort(seeds[seed][1].participants)
        apart.append(np.abs(first.errors) - np.abs(seeds[seed][1].errors[back]))
    means = np.mean(apart, axis=0)
    expected, got = ttest_1samp(means, 0), paired_errors_over_seeds(seeds)
    assert got.difference.limits == pytest.approx((means.mean(), *expected.confidence_interval(0.95)), abs=1e-9)
    assert (got.p_value, got.degrees) == (pytest.approx(expected.pvalue, abs=1e-9), pytest.approx(24))
    assert got.scans == 75
    combined = combine_error_comparisons({"A": got})
    assert combined.difference.limits == pytest.approx(got.difference.limits)
    assert paired_errors_over_seeds({1: seeds[1]}) == paired_errors(*seeds[1])


def test_folds_are_of_different_people_and_share_training_people(draw_numbers: Draw) -> None:
    """The variance of the mean of two folds is a quarter of the sum of theirs, times the correction."""
    folds = {}
    for fold in (1, 2):
        first = draw_numbers(fold, 12)
        first = replace(first, participants=tuple(f"{fold}{name}" for name in first.participants))
        folds[fold] = first, other_model(first, fold)
    got, each = paired_errors_over_seeds(folds, "fold", 3.0), [paired_errors(*pair) for pair in folds.values()]
    assert got.variance == pytest.approx(3.0 * sum(part.variance or 0.0 for part in each) / 4)
    assert got.degrees == pytest.approx(22)
    assert got.difference.value == pytest.approx(np.mean([part.difference.value for part in each]))
    assert got.difference.mark is None  # 24 people
    assert "corrected for shared training people (Nadeau and Bengio 2003)" in got.difference.method
    lone = NumberPredictions(("a",), ("",), np.array([50.0]), np.array([51.0]))
    assert paired_errors_over_seeds({1: (lone, lone), 2: (lone, lone)}, "fold").difference.undefined == (
        "no fold has two people"
    )
