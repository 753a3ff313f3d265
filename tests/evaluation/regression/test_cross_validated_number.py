"""Cross-validated errors and R²: checked by hand, against Nadeau and Bengio's variance, and by how often they hold."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import t as student
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import KFold, cross_val_score

from fedtune3d.evaluation.cross_validated import all_folds
from fedtune3d.evaluation.cross_validation import cross_validated_methods
from fedtune3d.evaluation.measure import Measure
from fedtune3d.evaluation.regression.cross_validated_number import FoldMeasure, cross_validated_number
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.residual_bins import pool_bins, residual_bins
from fedtune3d.evaluation.regression.summary import summarise_numbers

LIMITS = (0.0, 100.0)
NOBODY = NumberPredictions((), (), np.empty(0), np.empty(0))


def folds_of(repeats: Sequence[Sequence[float | None]], variance: float = 0.04) -> list[FoldMeasure]:
    return [
        FoldMeasure(repeat, fold, 6, None if value is None else Measure(value, variance, 5))
        for repeat, values in enumerate(repeats, start=1)
        for fold, value in enumerate(values, start=1)
    ]


def test_the_interval_is_students_on_the_logarithm() -> None:
    """Three folds of variance 0.04: given the models 0.04 / 3, times 1 + 3/2, with 3 · 5 degrees of freedom."""
    estimate = cross_validated_number("mae", {"A": folds_of([[4.0, 5.0, 6.0]])}).estimate
    assert estimate.limits is not None
    reach = student.ppf(0.975, 15) * math.sqrt(0.04 / 3 * 2.5) / 5
    assert estimate.limits == pytest.approx((5.0, 5 * math.exp(-reach), 5 * math.exp(reach)))
    assert "corrected for shared training people (Nadeau and Bengio 2003)" in estimate.method
    assert estimate.mark is None  # 18 people


def test_the_variance_is_the_corrected_resampled_one() -> None:
    """(1/J + n_test/n_train) σ² of J = 10 folds, five in each of two repeats, with σ² = 0.04 of one fold."""
    found = cross_validated_number("bias", {"A": folds_of([[0.0] * 5] * 2)}).estimate
    assert found.high == pytest.approx(student.ppf(0.975, 25) * math.sqrt((1 / 10 + 1 / 4) * 0.04))


def test_sites_are_independent_and_undefined_folds_are_left_out() -> None:
    sites = {"A": folds_of([[0.5, 0.7]]), "B": folds_of([[0.2, None]])}
    estimate = cross_validated_number("r_squared", sites).estimate
    variance = 3 * (0.04 / 2 + 0.04) / 4
    degrees = (0.04 / 2 + 0.04) ** 2 / ((0.04 / 2) ** 2 / 10 + 0.04**2 / 5)
    reach = student.ppf(0.975, degrees) * math.sqrt(variance) / 0.6
    assert estimate.limits == pytest.approx((0.4, 1 - 0.6 * math.exp(reach), 1 - 0.6 * math.exp(-reach)))
    assert estimate.mark == "few"  # six people in the only fold of B
    none = cross_validated_number("r_squared", {"A": folds_of([[None, None]])})
    assert none.estimate.undefined == "no fold has test scans of 4 people or more whose numbers vary"
    some = cross_validated_number("mae", {"A": folds_of([[4.0]])}, "1 of 2 folds are finished")
    assert some.estimate.undefined == "1 of 2 folds are finished"
    assert some.values == [4.0]


def people_of(rng: np.random.Generator, people: int) -> tuple[np.ndarray, np.ndarray]:
    features = rng.normal(0, 1, (people, 3))
    return features, 60 + 4 * features[:, 0] + rng.normal(0, 5, people)


def predictions_of(names: Sequence[int], truth: np.ndarray, predicted: np.ndarray) -> NumberPredictions:
    return NumberPredictions(tuple(f"p{name:03d}" for name in names), ("",) * len(names), truth, predicted)


def test_values_are_those_of_scikit_learn_and_errors_are_of_everybody() -> None:
    features, truth = people_of(np.random.default_rng(3), 40)
    splits = list(KFold(4).split(features))
    summaries, tests = {}, []
    for number, (train, test) in zip(all_folds(4, 1), splits, strict=True):
        model = LinearRegression().fit(features[train], truth[train])
        tests.append(predictions_of(test, truth[test], model.predict(features[test])))
        summaries[number] = {"A": {"federated": summarise_numbers(NOBODY, tests[-1], LIMITS, False)}}
    found = cross_validated_methods(summaries, ["A"], all_folds(4, 1))["federated"]
    for name, scoring, sign in (("mae", "neg_mean_absolute_error", -1), ("r_squared", "r2", 1)):
        expected = sign * cross_val_score(LinearRegression(), features, truth, cv=KFold(4), scoring=scoring)
        assert found.measures[name].mean.values == pytest.approx(expected, abs=1e-9)
        assert found.measures[name].mean.estimate.value == pytest.approx(expected.mean(), abs=1e-9)
    assert (found.main, found.mean) == ("mae", found.measures["mae"].mean)
    assert found.residuals["Pooled"] == pool_bins([residual_bins(test, LIMITS) for test in tests])
    assert sum(part.people for part in found.residuals["A"]) == 40
    errors = sum(part.squared_error for part in found.residuals["A"])
    assert errors == pytest.approx(sum(float(test.errors @ test.errors) for test in tests))


@pytest.mark.ci
def test_the_interval_of_the_error_covers_that_of_the_procedure() -> None:
    """Linear regression on 48 of 60 people, 200 times; the truth is that of 400 trainings of this size on others."""
    rng = np.random.default_rng(8)
    tested_on = people_of(rng, 4000)
    truths = []
    for _ in range(400):
        model = LinearRegression().fit(*people_of(rng, 48))
        truths.append(mean_absolute_error(tested_on[1], model.predict(tested_on[0])))
    held = []
    for _ in range(200):
        features, truth = people_of(rng, 60)
        parts = []
        for number, (train, test) in zip(all_folds(5, 1), KFold(5).split(features), strict=True):
            errors = np.abs(LinearRegression().fit(features[train], truth[train]).predict(features[test]) - truth[test])
            parts.append(FoldMeasure(*number, 12, Measure(float(errors.mean()), float(errors.var(ddof=1)) / 12, 11)))
        estimate = cross_validated_number("mae", {"A": parts}).estimate
        assert estimate.low is not None
        assert estimate.high is not None
        held.append(estimate.low <= np.mean(truths) <= estimate.high)
    assert np.mean(held) >= 0.95  # on the safe side, as for the AUC
