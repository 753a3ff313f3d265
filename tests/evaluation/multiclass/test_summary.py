import json
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from fedtune3d._utils.typed_json import from_json, to_json
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.summary import ClassSummary, SharedClassPredictions, summarise_classes
from fedtune3d.federation.privacy.bins import coarse_by_class

Draw = Callable[..., ClassPredictions]
CLASSES = ("CN", "MCI", "AD")


@pytest.mark.parametrize("share", [True, False])
def test_a_summary_is_json_without_names(draw_classes: Draw, share: bool) -> None:
    drawn = draw_classes(1, scans_each=2)
    summary = summarise_classes(drawn, CLASSES, share, federated=draw_classes(2, scans_each=2))
    text = json.dumps(to_json(summary), allow_nan=False)
    assert "sub-" not in text
    assert from_json(ClassSummary, json.loads(text)) == summary
    assert (summary.predictions is not None) is share
    assert (summary.participants, summary.scans, summary.scans_by_class) == (37, 74, (28, 22, 24))


def test_shared_predictions_keep_people_together_but_not_the_order_of_their_names() -> None:
    rows = np.array([[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]])
    shared = SharedClassPredictions.of(ClassPredictions(("a", "z", "a"), ("1", "", "2"), np.array([0, 1, 1]), rows))
    assert shared.participants == (0, 1, 1)
    assert (shared.truth, shared.probabilities) == ((1, 1, 0), ((0.25, 0.75), (0.5, 0.5), (0.75, 0.25)))
    assert shared.predictions(2).scans_by_class == (1, 2)
    with pytest.raises(ValueError, match="3 classes"):
        shared.predictions(3)


@pytest.mark.parametrize("seed", range(10))
def test_what_a_policy_lets_leave_is_about_enough_people(draw_classes: Draw, seed: int) -> None:
    drawn = draw_classes(seed, (9, 13, 8), 1 + seed % 2, sharp=1.0)
    count = partial(coarse_by_class, min_people=5)
    summary = summarise_classes(drawn, CLASSES, share_predictions=False, min_people=5, count=count)
    bins = [scans for row in summary.scores for cell in row for scans in cell.values()]
    assert min(bins) >= 5
    assert all(cell is None or cell == 0 or cell >= 5 for row in summary.confusion.cells for cell in row)
    assert (summary.top_label is not None) is summary.confusion.whole
    if summary.top_label is not None:
        counted = (*summary.top_label.negative.values(), *summary.top_label.positive.values())
        assert min(counted) >= 5


def test_nobody_and_other_classes(no_classes: Draw, draw_classes: Draw) -> None:
    nobody = summarise_classes(no_classes(), CLASSES, share_predictions=True)
    assert (nobody.scans, nobody.macro_auc.variance) == (0, None)
    assert from_json(ClassSummary, to_json(nobody)) == nobody
    with pytest.raises(ValueError, match="CN, AD"):
        summarise_classes(draw_classes(1), ("CN", "AD"), share_predictions=True)
