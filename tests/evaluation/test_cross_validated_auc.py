"""The cross-validated AUC, of two classes and of more: its interval is to be checked by hand."""

import math
from collections.abc import Mapping, Sequence

import pytest

from fedtune3d.evaluation.auc_interval import AucVariance, mean_auc_interval, newcombe_variance
from fedtune3d.evaluation.cross_validated import inflation
from fedtune3d.evaluation.cross_validated_auc import FoldAuc, cross_validated_auc
from fedtune3d.evaluation.estimate import Z
from fedtune3d.evaluation.multiclass.mean_auc import MeanAucVariance

VARIANCE = AucVariance(1.0, 6, 6)


def folds_of(repeats: Sequence[Sequence[float | None]]) -> list[FoldAuc]:
    return [
        FoldAuc(repeat, fold, auc, None if auc is None else VARIANCE)
        for repeat, aucs in enumerate(repeats, start=1)
        for fold, auc in enumerate(aucs, start=1)
    ]


def limits_of(folds: Mapping[str, Sequence[FoldAuc]]) -> tuple[float, float, float]:
    limits = cross_validated_auc(folds).estimate.limits
    assert limits is not None
    return limits


def test_the_interval_solves_its_equation() -> None:
    value, low, high = limits_of({"A": folds_of([[0.7, 0.8, 0.9]])})
    assert value == pytest.approx(0.8)
    for limit in (low, high):
        variance = (1 + 3 / 2) * 3 * newcombe_variance(limit, 6, 6) / 9
        assert (limit - value) ** 2 == pytest.approx(Z**2 * variance)


def test_repeats_add_certainty_about_training_but_none_about_people() -> None:
    twice = {"A": folds_of([[0.7, 0.8, 0.9], [0.9, 0.8, 0.7]])}
    value, low, _ = limits_of(twice)
    assert (low - value) ** 2 == pytest.approx(Z**2 * (1 / 2 + 3 / 2) * newcombe_variance(low, 6, 6) / 3)
    assert inflation(5, 1) == pytest.approx(2.25)
    assert inflation(5, 1000) > 1.25  # however many repeats: never less than the people tested allow


def test_the_inflated_variance_is_the_corrected_resampled_one() -> None:
    """(1/J + n_test/n_train) σ², with σ² the variance of a fold; as Nadeau and Bengio have it, of 60 people here."""
    folds, repeats, of_a_fold = 5, 2, 0.03
    given_the_models = repeats * folds * repeats * of_a_fold / (folds * repeats) ** 2
    expected = (1 / (folds * repeats) + 12 / 48) * of_a_fold
    assert inflation(folds, repeats) * given_the_models == pytest.approx(expected)


def test_sites_are_independent_and_count_equally() -> None:
    """Of two folds it is the interval of the mean over sites, of 1 + 2 times the variance."""
    several = {"A": folds_of([[0.6, 0.8]]), "B": folds_of([[0.9, 0.9]])}
    tripled = AucVariance(3 * VARIANCE.ratio, 6, 6)
    assert limits_of(several) == pytest.approx((0.8, *mean_auc_interval([0.6, 0.8, 0.9, 0.9], [tripled] * 4)))
    uneven = {"A": folds_of([[0.6, 0.8]]), "B": folds_of([[0.9, None]])}
    value, low, _ = limits_of(uneven)
    assert value == pytest.approx((0.7 + 0.9) / 2)
    variance = (2 * newcombe_variance(low, 6, 6) / 4 + newcombe_variance(low, 6, 6)) / 4
    assert (low - value) ** 2 == pytest.approx(Z**2 * 3 * variance)


def test_the_spread_is_within_repeats_and_between_them() -> None:
    found = cross_validated_auc({"A": folds_of([[0.6, 0.8], [0.7, 0.9]])})
    assert found.sd_folds == pytest.approx(math.sqrt(0.02))
    assert found.sd_repeats == pytest.approx(math.sqrt(0.005))
    assert found.values == [0.6, 0.8, 0.7, 0.9]
    alone = cross_validated_auc({"A": folds_of([[None, 0.8]])})
    assert (alone.sd_folds, alone.sd_repeats, alone.estimate.value) == (None, None, 0.8)


def test_without_all_folds_or_any_auc_there_is_no_estimate() -> None:
    some = cross_validated_auc({"A": folds_of([[0.6, 0.8]])}, "2 of 5 folds are finished")
    assert (some.estimate.value, some.estimate.undefined) == (None, "2 of 5 folds are finished")
    assert some.values == [0.6, 0.8]
    none = cross_validated_auc({"A": folds_of([[None, None]])})
    assert none.estimate.undefined == "no fold has test scans of both classes"


def test_a_macro_auc_has_the_variance_of_a_mean_of_correlated_aucs() -> None:
    """Three AUCs with correlations of ½: the variance of their mean is (3 + 6/2) / 9 = ⅔ of that of one."""
    halves = ((1.0, 0.5, 0.5), (0.5, 1.0, 0.5), (0.5, 0.5, 1.0))
    variance = MeanAucVariance((AucVariance(1.0, 8, 4),) * 3, halves)
    folds = [FoldAuc(1, fold, auc, variance) for fold, auc in enumerate((0.7, 0.8), start=1)]
    estimate = cross_validated_auc({"A": folds}, classes=3).estimate
    assert estimate.limits is not None
    value, low, high = estimate.limits
    assert value == pytest.approx(0.75)
    for limit in (low, high):
        expected = 3 * (2 / 3) * newcombe_variance(limit, 8, 4) / 2
        assert (limit - value) ** 2 == pytest.approx(Z**2 * expected)
    assert estimate.mark == "few"  # eight people of each class in a repeat
    assert estimate.method.startswith("mean of the macro AUCs within folds")
    five_times = [FoldAuc(1, fold, 0.8, variance) for fold in range(1, 6)]
    assert cross_validated_auc({"A": five_times}, classes=3).estimate.mark is None  # twenty of each
    nobody = cross_validated_auc({"A": [FoldAuc(1, 1, None, None), FoldAuc(1, 2, None, None)]}, classes=3)
    assert nobody.estimate.undefined == "no fold has test scans of every class"
