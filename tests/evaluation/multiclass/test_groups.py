from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fedtune3d._utils.typed_json import from_json, to_json
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.groups import (
    ClassAxis,
    combine_class_groups,
    require_possible_class_groups,
    summarise_class_groups,
)
from fedtune3d.federation.privacy.bins import coarse_by_class

Draw = Callable[..., ClassPredictions]
SIZES = (30, 30, 30)
SEXES = {"sex": ["F" if row % 3 else "M" for row in range(90)]}


def test_auc_of_groups_over_sites_and_gaps_to_the_rest(draw_classes: Draw) -> None:
    drawn = [draw_classes(seed, SIZES) for seed in (1, 2)]
    sent = [summarise_class_groups(part, SEXES, 5) for part in drawn]
    got = combine_class_groups(sent)["sex"].groups
    aucs = {}
    for name in "FM":
        rows = [row for row, own in enumerate(SEXES["sex"]) if own == name]
        truth = np.concatenate([part.truth[rows] for part in drawn])
        scores = np.concatenate([part.probabilities[rows] for part in drawn])
        aucs[name] = roc_auc_score(truth, scores, multi_class="ovr")
        assert got[name].value.value == pytest.approx(aucs[name], abs=0.01)
    assert got["F"].gap.value == pytest.approx(aucs["F"] - aucs["M"], abs=0.02)
    assert (got["F"].people, got["M"].scans) == (120, 60)
    require_possible_class_groups(sent[0], SIZES)
    assert from_json(ClassAxis, to_json(sent[0]["sex"])) == sent[0]["sex"]


def test_small_groups_stay_and_no_bin_is_about_a_few(draw_classes: Draw) -> None:
    names = {"sex": ["F"] * 40 + ["M"] * 50}  # nobody of the last class is F
    assert summarise_class_groups(draw_classes(1, SIZES), names, 5) == {"sex": ClassAxis({}, 2)}
    coarse = summarise_class_groups(draw_classes(1, SIZES), SEXES, 5, partial(coarse_by_class, min_people=5))
    counts = [count for row in coarse["sex"].groups["M"].scores for cell in row for count in cell.values()]
    assert min(counts) >= 5


def test_one_group_has_no_gap(draw_classes: Draw) -> None:
    sent = summarise_class_groups(draw_classes(1, SIZES), {"sex": ["F"] * 90}, 5)
    assert combine_class_groups([sent])["sex"].groups["F"].gap.undefined == "no other group"


@pytest.mark.parametrize(
    "change", [{"participants": 200}, {"participants_by_class": (99, 20, 20)}, {"participants_by_class": (20, 20)}]
)
def test_groups_that_there_are_not(draw_classes: Draw, change: dict[str, object]) -> None:
    sent = summarise_class_groups(draw_classes(1, SIZES), SEXES, 5)["sex"]
    forged = replace(sent, groups={**sent.groups, "F": replace(sent.groups["F"], **change)})
    with pytest.raises(ValueError, match="groups along sex"):
        require_possible_class_groups({"sex": forged}, SIZES)
    with pytest.raises(ValueError, match="more scans than the test set has"):
        require_possible_class_groups({"sex": sent}, (10, 30, 30))
