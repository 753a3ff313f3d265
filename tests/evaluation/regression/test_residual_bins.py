from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fedtune3d.evaluation.regression.coarse import coarse_step
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.residual_bins import pool_bins, require_possible_bins, residual_bins

LIMITS = (40.0, 100.0)
Draw = Callable[..., NumberPredictions]


def test_sums_of_each_range_by_hand() -> None:
    truth = np.array([41.0, 44.0, 71.0, 120.0])
    drawn = NumberPredictions(tuple("abcd"), ("",) * 4, truth, truth + np.array([1.0, 3.0, -2.0, 0.0]))
    bins = residual_bins(drawn, LIMITS)
    assert [(part.index, part.people, part.mean_truth, part.mean_error) for part in bins] == [
        (0, 2, 42.5, 2.0),
        (6, 1, 71.0, -2.0),
        (11, 1, 120.0, 0.0),
    ]
    assert [part.deviation for part in bins] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("seed", range(20))
def test_each_range_is_about_enough_people_and_nobody_is_missing(draw_numbers: Draw, seed: int) -> None:
    drawn = draw_numbers(seed, 14 + seed, 1 + seed % 2)
    bins = residual_bins(drawn, LIMITS, min_people=5)
    assert min(part.people for part in bins) >= 5
    assert sum(part.scans for part in bins) == len(drawn)
    assert abs(sum(part.error for part in bins) - drawn.errors.sum()) <= coarse_step(LIMITS) / 2 * len(bins)
    require_possible_bins(bins, drawn.people, len(drawn), float(drawn.errors.sum()), coarse_step(LIMITS) / 2)


def test_numbers_of_a_range_of_few_people_are_coarse() -> None:
    truth = np.array([71.0, 71.0, 72.0, 74.0, 74.0])
    predicted = truth + np.array([1.0, -3.0, 2.0, 6.0, 1.0])
    (part,) = residual_bins(NumberPredictions(tuple("abcde"), ("",) * 5, truth, predicted), LIMITS, min_people=5)
    assert (part.index, part.mean_truth) == (6, 72.5)
    assert (part.error, part.deviation) == (10.0, pytest.approx(2.5))  # 7 and 2.87


def test_too_few_people_have_no_range(draw_numbers: Draw, no_numbers: NumberPredictions) -> None:
    assert residual_bins(draw_numbers(1, 4), LIMITS, min_people=5) == ()
    assert residual_bins(no_numbers, LIMITS) == ()


def test_sites_add_up(draw_numbers: Draw) -> None:
    parts = [residual_bins(draw_numbers(seed, 20), LIMITS) for seed in (1, 2)]
    pooled = pool_bins(parts)
    assert [part.index for part in pooled] == sorted({part.index for site in parts for part in site})
    assert sum(part.scans for part in pooled) == 40
    assert sum(part.squared_error for part in pooled) == pytest.approx(
        sum(part.squared_error for site in parts for part in site)
    )


@pytest.mark.parametrize(
    "change", [{"index": 12}, {"people": 0}, {"squared_error": 0.0}, {"scans": 99}, {"error": 0.1}]
)
def test_impossible_bins(draw_numbers: Draw, change: dict[str, float]) -> None:
    drawn = draw_numbers(1, bias=4.0)
    bins = residual_bins(drawn, LIMITS, 5)
    with pytest.raises(ValueError, match="range of the true number"):
        require_possible_bins(
            (replace(bins[0], **change), *bins[1:]), 40, 40, float(drawn.errors.sum()), coarse_step(LIMITS) / 2
        )
