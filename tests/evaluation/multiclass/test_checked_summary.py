from collections.abc import Callable
from dataclasses import replace

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.evaluation.multiclass.checked_summary import CheckedClassSummary
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.confusion_matrix import ConfusionMatrix
from fedtune3d.evaluation.multiclass.summary import ClassSummary, summarise_classes

CLASSES = ("CN", "MCI", "AD")
Draw = Callable[..., ClassPredictions]


@pytest.fixture
def summary(draw_classes: Draw) -> ClassSummary:
    return summarise_classes(draw_classes(1, scans_each=2), CLASSES, True, federated=draw_classes(2, scans_each=2))


def test_arrays_of_a_consistent_summary(summary: ClassSummary) -> None:
    checked = CheckedClassSummary.of("A", summary, CLASSES)
    assert checked.scores.sum(axis=2).tolist() == [[28, 22, 24]] * 3
    assert checked.top_label.sum() == len(checked.predictions) == 74
    kept = CheckedClassSummary.of("A", replace(summary, predictions=None, top_label=None), CLASSES)
    assert (kept.predictions, kept.top_label) == (None, None)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda s: {"version": 0}, "run the same fedtune3d"),
        (lambda s: {"classes": ("AD", "MCI", "CN")}, "CN, MCI, AD"),
        (lambda s: {"participants": 90}, "90 people"),
        (lambda s: {"participants_by_class": (14, 11, 99)}, "99 people of a class"),
        (lambda s: {"scans_by_class": (28, 22)}, "numbers of 3 classes"),
        (lambda s: {"scores": (s.scores[0], s.scores[1], (*s.scores[2][:2], {"5": 3}))}, "other counts"),
        (lambda s: {"confusion": ConfusionMatrix(s.confusion.cells, (28, 22, 25))}, "confusion matrix"),
        (lambda s: {"top_label": replace(s.top_label, negative=s.top_label.positive)}, "disagree"),
        (lambda s: {"log_loss": replace(s.log_loss, total=-1.0)}, "a sum of -1"),
        (lambda s: {"brier": replace(s.brier, people=3)}, "3 people"),
        (lambda s: {"one_vs_rest": (replace(s.one_vs_rest[0], value=1.2), *s.one_vs_rest[1:])}, "an AUC of 1.2"),
        (lambda s: {"macro_auc": replace(s.macro_auc, variance=None)}, "without its variance"),
        (lambda s: {"hand_till": replace(s.hand_till, variance=_correlated(s, 3.0))}, "correlations"),
        (lambda s: {"macro_auc": replace(s.macro_auc, variance=_scaled(s, -1.0))}, "a variance of an AUC"),
        (lambda s: {"against_federated": replace(s.against_federated, first=1.5)}, "comparison"),
        (lambda s: {"predictions": replace(s.predictions, truth=(0,) * 74)}, "the predictions and the counts"),
    ],
)
def test_what_contradicts_itself_is_refused_with_the_sites_name(
    summary: ClassSummary, change: Callable[[ClassSummary], dict], why: str
) -> None:
    with pytest.raises(InputError, match=f"site A.*{why}"):
        CheckedClassSummary.of("A", replace(summary, **change(summary)), CLASSES)


def _correlated(summary: ClassSummary, value: float):
    return replace(summary.hand_till.variance, correlations=((1.0, value, 1.0), (value, 1.0, 1.0), (1.0, 1.0, 1.0)))


def _scaled(summary: ClassSummary, ratio: float):
    parts = summary.macro_auc.variance.parts
    return replace(summary.macro_auc.variance, parts=(replace(parts[0], ratio=ratio), *parts[1:]))
