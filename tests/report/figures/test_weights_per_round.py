"""What the figure of weights draws is what the ledger says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn_lines import line_of

from fedtune3d.report.figures.weights_per_round import draw_weights
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
