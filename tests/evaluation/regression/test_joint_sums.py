from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fedtune3d.evaluation.regression.joint_sums import JointSums, require_possible_joint
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions

Draw = Callable[..., NumberPredictions]


@pytest.mark.parametrize("reference", [70.0, 0.0])
def test_moments_are_those_of_numpy(draw_numbers: Draw, reference: float) -> None:
    drawn = draw_numbers(1, 30, 2)
    sums = JointSums.of(drawn, reference)
    (truth, product), (_, predicted) = np.cov(drawn.truth, drawn.predicted, bias=True)
    assert [mean + reference for mean in sums.means] == pytest.approx([drawn.truth.mean(), drawn.predicted.mean()])
    assert [*sums.variances, sums.covariance] == pytest.approx([truth, predicted, product], rel=1e-9)
    assert sums.error_squared == pytest.approx(np.sum(drawn.errors**2), rel=1e-9)
    assert (sums.people, sums.scans, sums.varies) == (30, 60, True)


def test_sites_add_up(draw_numbers: Draw) -> None:
    first, second = draw_numbers(1, 12), draw_numbers(2, 9)
    both = NumberPredictions(
        tuple(f"{site}{name}" for site, part in enumerate((first, second)) for name in part.participants),
        first.sessions + second.sessions,
        np.concatenate([first.truth, second.truth]),
        np.concatenate([first.predicted, second.predicted]),
    )
    pooled = JointSums.pooled([JointSums.of(first, 70.0), JointSums.of(second, 70.0)])
    assert vars(pooled) == pytest.approx(vars(JointSums.of(both, 70.0)), rel=1e-12)
    assert JointSums.pooled([]).scans == 0


def test_numbers_that_do_not_vary(draw_numbers: Draw, no_numbers: NumberPredictions) -> None:
    drawn = draw_numbers(1)
    constant = replace(drawn, predicted=np.full(len(drawn), 71.3))
    assert not JointSums.of(constant, 70.0).varies
    assert not JointSums.of(no_numbers, 70.0).varies


@pytest.mark.parametrize(
    "change",
    [
        {"people": 41},
        {"people": 0},
        {"truth_squared": -1.0},
        {"predicted": 1e4},
        {"product": 1e5},
    ],
)
def test_impossible_sums(draw_numbers: Draw, change: dict[str, float]) -> None:
    sums = JointSums.of(draw_numbers(1), 70.0)
    require_possible_joint(sums)
    with pytest.raises(ValueError, match="sum"):
        require_possible_joint(replace(sums, **change))
