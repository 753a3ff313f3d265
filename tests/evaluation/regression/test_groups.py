from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fedtune3d._utils.typed_json import from_json, to_json
from fedtune3d.evaluation.regression.groups import (
    NumberAxis,
    combine_number_groups,
    require_possible_number_groups,
    summarise_number_groups,
)
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions

Draw = Callable[..., NumberPredictions]


def sexes(people: int, women: int) -> dict[str, list[str]]:
    return {"sex": ["F"] * women + ["M"] * (people - women)}


def test_errors_of_groups_add_up_over_sites_and_gaps_are_to_the_rest(draw_numbers: Draw) -> None:
    drawn = [draw_numbers(seed, 40) for seed in (1, 2)]
    sent = [summarise_number_groups(part, sexes(40, 15), 5) for part in drawn]
    got = combine_number_groups(sent)["sex"]
    women, men = (
        np.concatenate([np.abs(part.errors[rows]) for part in drawn]) for rows in (slice(0, 15), slice(15, 40))
    )
    assert {name: (group.people, group.scans) for name, group in got.groups.items()} == {"F": (30, 30), "M": (50, 50)}
    assert got.groups["F"].value.value == pytest.approx(women.mean())
    assert got.groups["F"].gap.value == pytest.approx(women.mean() - men.mean())
    assert got.groups["M"].gap.value == pytest.approx(men.mean() - women.mean())
    assert got.held_back == 0
    require_possible_number_groups(sent[0], 40, 40)
    assert from_json(NumberAxis, to_json(sent[0]["sex"])) == sent[0]["sex"]


def test_small_groups_stay_and_sums_are_coarse(draw_numbers: Draw) -> None:
    drawn = draw_numbers(1, 40)
    names = {"sex": ["F"] * 20 + ["M"] * 12 + ["unknown"] * 8, "scanner": ["unknown"] * 40}
    got = summarise_number_groups(drawn, names, 10, step=10.0)
    assert (sorted(got["sex"].groups), got["sex"].held_back) == (["F"], 2)
    sums = got["sex"].groups["F"]
    assert sums.total % 10 == sums.scans_times_total % 10 == 0
    assert sums.total / 20 == pytest.approx(np.abs(drawn.errors[:20]).mean(), abs=10 / 2 / 20)
    assert got["scanner"] == NumberAxis({}, 0)


def test_one_group_has_no_gap(draw_numbers: Draw) -> None:
    alone = combine_number_groups([summarise_number_groups(draw_numbers(1, 8), {"sex": ["F"] * 8}, 5)])["sex"]
    assert alone.groups["F"].gap.undefined == "no other group"
    assert alone.groups["F"].value.mark == "few"


@pytest.mark.parametrize(
    "change", [{"people": 0}, {"people": 41}, {"scans": 41}, {"total": -1.0}, {"squared_scans": 3}]
)
def test_groups_that_there_are_not(draw_numbers: Draw, change: dict[str, float]) -> None:
    sent = summarise_number_groups(draw_numbers(1, 40), sexes(40, 15), 5)["sex"]
    forged = replace(sent, groups={**sent.groups, "F": replace(sent.groups["F"], **change)})
    with pytest.raises(ValueError, match="groups along sex"):
        require_possible_number_groups({"sex": forged}, 40, 40)
