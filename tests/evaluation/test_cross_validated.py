"""The folds of a measure over sites, their spread, and the correction for training people that folds share."""

import pytest

from fedtune3d.evaluation.cross_validated import FoldNumber, FoldValue, all_folds, inflation_of, with_spread
from fedtune3d.evaluation.estimate import undefined


def folds_of(*values: float | None) -> list[FoldValue]:
    return [FoldValue(1, fold, value) for fold, value in enumerate(values, start=1)]


def test_folds_are_averaged_over_the_sites_that_have_them() -> None:
    found = with_spread({"A": folds_of(4.0, 6.0, None), "B": folds_of(2.0, None, None)}, undefined("not asked"))
    assert found.folds == (FoldValue(1, 1, 3.0), FoldValue(1, 2, 6.0), FoldValue(1, 3, None))
    assert found.values == [3.0, 6.0]
    assert found.sd_folds == pytest.approx(4.5**0.5)
    assert found.sd_repeats is None
    assert with_spread({"A": folds_of(4.0, None)}, undefined("not asked")).folds == tuple(folds_of(4.0, None))


def test_the_correction_counts_all_folds_and_repeats() -> None:
    numbers = all_folds(5, 2)
    assert numbers[5] == FoldNumber(2, 1)
    assert inflation_of(numbers) == pytest.approx(1 / 2 + 5 / 4)
