from collections.abc import Callable
from dataclasses import replace

import pytest

from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.number_sums import NumberSums, require_possible_numbers

Draw = Callable[..., NumberPredictions]


def test_sums_of_sites_are_consistent_and_add_up(draw_numbers: Draw) -> None:
    parts = [NumberSums.of(draw_numbers(seed, 10 + seed, 2), 70.0) for seed in (1, 2)]
    pooled = NumberSums.pooled(parts)
    require_possible_numbers(pooled)
    assert (pooled.joint.people, pooled.error.people, pooled.joint.scans) == (23, 23, 46)
    assert pooled.absolute_error.total == pytest.approx(sum(part.absolute_error.total for part in parts))
    assert pooled.squared_error.total == pytest.approx(pooled.joint.error_squared)


def test_coarse_sums_are_possible_and_near(draw_numbers: Draw) -> None:
    for seed in range(30):
        drawn = draw_numbers(seed, 10 + seed, 1 + seed % 2, bias=float(seed % 5))
        exact, coarse = NumberSums.of(drawn, 70.0), NumberSums.of(drawn, 70.0, step=10.0)
        require_possible_numbers(coarse, 5.0)
        assert (coarse.joint, coarse.error) == (exact.joint, exact.error)
        assert coarse.absolute_error.total % 10 == 0
        for name in ("absolute_error", "squared_error"):
            near, known = getattr(coarse, name).measure, getattr(exact, name).measure
            assert near.value == pytest.approx(known.value, abs=0.51)
            if name == "absolute_error" and seed % 2:  # else it follows from the rounded sum
                assert near.variance == pytest.approx(known.variance, rel=0.2)
        assert coarse.squared_error.measure.variance == pytest.approx(0, abs=1e-9 * exact.squared_error.squared_total)


@pytest.mark.parametrize(
    ("part", "change", "why"),
    [
        ("error", {"people": 12}, "different scans or people"),
        ("error", {"total": 900.0}, "sum of errors"),
        ("squared_error", {"total": 1.0}, "squared errors"),
        ("absolute_error", {"total": 0.0}, "absolute errors is smaller"),
        ("absolute_error", {"total": 1e6}, "absolute errors is too great"),
        ("error", {"squared_total": 0.0}, "by person"),
        ("joint", {"truth_squared": 0.0}, "sum of squares"),
    ],
)
def test_impossible_sums(draw_numbers: Draw, part: str, change: dict[str, float], why: str) -> None:
    sums = NumberSums.of(draw_numbers(1, bias=3.0), 70.0)
    with pytest.raises(ValueError, match=why):
        require_possible_numbers(replace(sums, **{part: replace(getattr(sums, part), **change)}))
