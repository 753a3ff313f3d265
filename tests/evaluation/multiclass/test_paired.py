from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.evaluation.multiclass.class_auc import macro_auc
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.paired import paired_macro_auc, paired_macro_auc_over_seeds
from fedtune3d.evaluation.paired import combine_comparisons, paired_delong, paired_over_seeds, require_possible

Draw = Callable[..., ClassPredictions]


def shuffled(predictions: ClassPredictions) -> ClassPredictions:
    order = np.random.default_rng(4).permutation(len(predictions))
    return ClassPredictions(
        tuple(predictions.participants[row] for row in order),
        tuple(predictions.sessions[row] for row in order),
        predictions.truth[order],
        predictions.probabilities[order],
    )


@pytest.mark.parametrize("scans_each", [1, 3])
def test_with_two_classes_it_is_the_binary_test(draw_classes: Draw, scans_each: int) -> None:
    first, second = draw_classes(1, (14, 11), scans_each, 2.0), draw_classes(2, (14, 11), scans_each, 1.0)
    got = paired_macro_auc(first, shuffled(second))
    expected = paired_delong(first.one_vs_rest(1), second.one_vs_rest(1))
    assert got.difference.limits == pytest.approx(expected.difference.limits, abs=1e-9)
    assert got.p_value == pytest.approx(expected.p_value, abs=1e-9)


def test_three_classes(draw_classes: Draw) -> None:
    first, second = draw_classes(1, sharp=2.0), draw_classes(2, sharp=1.0)
    got = paired_macro_auc(first, second)
    assert (got.first, got.second) == pytest.approx((macro_auc(first).estimate.value, macro_auc(second).estimate.value))
    assert got.difference.value == pytest.approx(got.first - got.second)
    require_possible(got)
    assert combine_comparisons({"A": got, "B": got}).difference.value == pytest.approx(got.difference.value)
    same = paired_macro_auc(first, first)
    assert (same.difference.value, same.p_value) == (None, None)


def test_the_standard_error_is_that_of_repeated_test_sets(draw_classes: Draw) -> None:
    """Over 200 test sets, the mean estimated variance is the variance of the differences within a quarter."""
    found = [
        paired_macro_auc(draw_classes(seed, (15, 15, 15), 1, 1.6), draw_classes(seed + 1000, (15, 15, 15), 1, 1.3))
        for seed in range(200)
    ]
    spread = np.var([part.difference.value for part in found], ddof=1)
    assert np.mean([part.standard_error**2 for part in found]) == pytest.approx(spread, rel=0.25)


def test_other_scans_classes_and_too_few_people(draw_classes: Draw) -> None:
    first = draw_classes(1)
    with pytest.raises(InputError, match="same scans"):
        paired_macro_auc(first, draw_classes(1, (14, 11, 13)))
    with pytest.raises(InputError, match="same classes"):
        paired_macro_auc(first, replace(first, truth=np.roll(first.truth, 1)))
    with pytest.raises(InputError, match="one row per scan"):
        paired_macro_auc(*[replace(first, participants=("a",) * len(first), sessions=("",) * len(first))] * 2)
    lone = paired_macro_auc(draw_classes(1, (1, 9, 9)), draw_classes(2, (1, 9, 9)))
    assert lone.difference.undefined == "fewer than two participants in a class"
    missing = paired_macro_auc(draw_classes(1, (0, 9, 9)), draw_classes(2, (0, 9, 9)))
    assert missing.difference.undefined == "1 of 3 classes without test scans"


def test_over_seeds_it_is_the_binary_test_of_two_classes(draw_classes: Draw) -> None:
    """People are the same in all seeds here, so that they are clusters over seeds."""
    seeds = {seed: (draw_classes(seed, (14, 11), 2, 2.0), draw_classes(seed + 9, (14, 11), 2, 1.0)) for seed in (1, 2)}
    binary = {seed: (first.one_vs_rest(1), second.one_vs_rest(1)) for seed, (first, second) in seeds.items()}
    for how in (("seed", 1.0), ("fold", 2.25)):
        got, expected = paired_macro_auc_over_seeds(seeds, *how), paired_over_seeds(binary, *how)
        assert got.difference.limits == pytest.approx(expected.difference.limits, abs=1e-9)
        assert got.scans == expected.scans == 100
    assert "corrected for shared training people (Nadeau and Bengio 2003)" in got.difference.method


def test_the_same_seed_twice_adds_no_certainty(draw_classes: Draw) -> None:
    pair = draw_classes(1, sharp=2.0), draw_classes(2, sharp=1.0)
    alone, twice = paired_macro_auc(*pair), paired_macro_auc_over_seeds({0: pair, 1: pair})
    assert twice.standard_error == pytest.approx(alone.standard_error)
    assert paired_macro_auc_over_seeds({0: pair}) == alone
    lone = draw_classes(1, (1, 9, 9)), draw_classes(2, (1, 9, 9))
    assert paired_macro_auc_over_seeds({0: pair, 1: pair, 2: lone}) == twice
    nothing = paired_macro_auc_over_seeds({0: lone, 1: lone})
    assert nothing.difference.undefined == "no seed has two test people of each class"
