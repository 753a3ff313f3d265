"""What the figure of weights draws is what the ledger says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn_lines import line_of

from fedtune3d._utils.folders import RunFolder
from fedtune3d.report.figures.drawing import new_figure
from fedtune3d.report.figures.study_weights import _Entry, _panel
from fedtune3d.report.figures.weights_per_round import WeightRow, constant_weights, draw_weights, weights_sentence
from fedtune3d.report.run_contents import RunContents, read_run

SITES = ["Amsterdam", "Boston", "Graz", "Lagos"]


@pytest.fixture
def contents(make_run: Callable[..., Path]) -> RunContents:
    return read_run(make_run())


def test_weights_break_where_a_site_was_absent(contents: RunContents) -> None:
    drawing = draw_weights(contents.ledger, SITES, "FedAvg")
    rounds, weights = line_of(drawing.figure.axes[0], "Graz")
    assert rounds == list(range(1, 11))
    assert np.isnan(weights[2])
    assert not np.isnan(weights[3])
    for round_ in rounds:
        assert sum(row["weight"] or 0 for row in drawing.rows if row["round"] == round_) == pytest.approx(1)
    assert [row["fault"] for row in drawing.rows if row["fault"]] == ["took longer than its deadline of 60 s"]


def test_without_rounds_there_is_nothing_to_draw() -> None:
    assert draw_weights([], SITES, "FedAvg") is None


def test_weights_that_never_change_need_no_figure(small_run: RunFolder) -> None:
    ledger = read_run(small_run.path).ledger
    weights = {site: ledger[0].sites[site].weight for site in "AB"}
    assert constant_weights(ledger, ["A", "B"]) == weights
    listed = f"A {weights['A']:.2f}, B {weights['B']:.2f}"
    text = f"Each site's weight in the average (FedAvg) was the same in every round: {listed}."
    assert weights_sentence(ledger, ["A", "B"], "FedAvg") == text


def test_a_missed_round_changes_the_weights_of_all(contents: RunContents) -> None:
    assert constant_weights(contents.ledger, SITES) is None
    assert weights_sentence(contents.ledger, SITES, "FedAvg") == ""


def test_a_rule_without_weights_has_no_rounds_to_read_off() -> None:
    axes = new_figure(4, 2).subplots()
    none = [_Entry("Median", 0, WeightRow(round_, "Graz", None, 9, True, None)) for round_ in (1, 2)]
    _panel(axes, ["Graz"], "Median", none)
    assert list(axes.get_xticks()) == []
    assert [text.get_text() for text in axes.texts] == ["the rule gives no weights"]
