from collections.abc import Sequence

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from fedtune3d.aggregation.site_scores import SiteScore
from fedtune3d.evaluation.outcome import ClassOutcome, NumberOutcome, Outcome
from fedtune3d.models.assembly import AssembledModel
from fedtune3d.models.tuning import Trainable
from fedtune3d.training.dataset import ScanSet
from fedtune3d.training.scores import Scores, score


class Margins(ScanSet):
    """Scans that are their own margin."""

    def __init__(self, margins: list[float], labels: list[int]) -> None:
        super().__init__(labels, first_stage=0)
        self.margins = torch.tensor(margins)

    def inputs(self, indices: Sequence[int], views: Sequence[int]) -> torch.Tensor:
        assert set(views) == {0}
        return self.margins[list(indices)]

    def draw_views(self, count: int, generator: torch.Generator) -> list[int]:
        raise AssertionError("scoring draws nothing")


class Echo(nn.Module):
    """Gives the margin as the positive logit and 0 as the other."""

    stage_count = 1

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def run_stages(self, x: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        return torch.stack([torch.zeros_like(x), x], dim=1)


ECHO = AssembledModel(Echo(), Trainable((), (), prefix_end=0))


def test_known_scores() -> None:
    found = score(ECHO, {}, Margins([-1.0, 2.0, 1.0, 3.0, -2.0], [0, 0, 1, 1, 1]), batch_size=2)
    assert found.auc == pytest.approx(3 / 6)
    assert found.balanced_accuracy == pytest.approx((1 / 2 + 2 / 3) / 2)
    expected = np.mean([np.log1p(np.exp(x)) for x in (-1, 2, -1, -3, 2)])
    assert found.loss == pytest.approx(expected)
    assert (found.examples, found.why) == (5, None)


def test_one_class_has_a_loss_only_and_says_why() -> None:
    found = score(ECHO, {}, Margins([0.0, 0.0], [1, 1]))
    assert found == Scores(None, None, pytest.approx(np.log(2)), 2, "one class only")  # type: ignore[arg-type]


def test_no_scans_have_no_scores_and_say_why() -> None:
    assert score(ECHO, {}, Margins([], [])) == Scores(None, None, None, 0, "no scans")


def test_a_rule_gets_the_kind_it_wants_or_the_loss_based_one_or_nothing() -> None:
    whole, single = Scores(0.8, 0.7, 0.25, 9, None), Scores(None, None, 1.0, 9, "one class only")
    assert whole.for_rule("auc") == SiteScore(0.8, "auc", 9)
    assert whole.for_rule("balanced_accuracy") == SiteScore(0.7, "balanced_accuracy", 9)
    assert whole.for_rule("loss") == SiteScore(0.8, "loss", 9)
    assert single.for_rule("auc") == SiteScore(0.5, "loss", 9)
    assert Scores(None, None, None, 0, "no scans").for_rule("auc") is None
    with pytest.raises(ValueError, match="score kind: expected one of"):
        whole.for_rule("accuracy")  # type: ignore[arg-type]


class Rows(ScanSet):
    """Scans that are their own outputs."""

    def __init__(self, outputs: list[list[float]], labels: list[int] | list[float]) -> None:
        super().__init__(labels, first_stage=0)
        self.outputs = torch.tensor(outputs)

    def inputs(self, indices: Sequence[int], views: Sequence[int]) -> torch.Tensor:
        return self.outputs[list(indices)]

    def draw_views(self, count: int, generator: torch.Generator) -> list[int]:
        raise AssertionError("scoring draws nothing")


class Same(Echo):
    """Gives the outputs that a scan is."""

    def run_stages(self, x: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        return x


def predicting(outcome: Outcome) -> AssembledModel:
    return AssembledModel(Same(), Trainable((), (), prefix_end=0), outcome=outcome)


def test_three_classes_have_the_mean_of_their_aucs() -> None:
    shares = [[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.35, 0.55], [0.5, 0.2, 0.3]]
    model, labels = predicting(ClassOutcome(("CN", "MCI", "AD"))), [0, 1, 2, 1]
    found = score(model, {}, Rows(np.log(shares).tolist(), labels))
    aucs = [roc_auc_score(np.array(labels) == label, np.array(shares)[:, label]) for label in range(3)]
    assert found.auc == pytest.approx(np.mean(aucs))
    assert found.balanced_accuracy == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert found.loss == pytest.approx(-np.mean(np.log([0.6, 0.5, 0.55, 0.2])))
    without = score(model, {}, Rows(np.log(shares[:3]).tolist(), [0, 1, 0]))
    assert without.auc == pytest.approx(np.mean([0.5, 1.0]))  # of the two classes that are there
    assert score(model, {}, Rows(np.log(shares[:1]).tolist(), [0])).why == "one class only"


def test_a_number_is_scored_by_its_error_in_units_of_the_range() -> None:
    model = predicting(NumberOutcome("age", 40, 100, "years", "error"))
    found = score(model, {}, Rows([[0.5], [-1.0]], [0.0, -0.5]))  # 85 for 70 years, and 40 for 55
    assert found == Scores(None, None, pytest.approx(15 / 60), 2, "a number has no AUC")  # type: ignore[arg-type]
    assert found.for_rule("auc") == SiteScore(1 / (1 + (found.loss or 0)), "loss", 2)
