"""What the figure of AUCs draws is what the metrics say."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedtune3d.report.figures.auc_per_site import draw_auc_per_site
from fedtune3d.report.run_contents import RunContents, read_run


@pytest.fixture
def contents(make_run: Callable[..., Path]) -> RunContents:
    return read_run(make_run())


def test_auc_per_site_draws_each_estimate_and_says_what_is_missing(contents: RunContents) -> None:
    drawing = draw_auc_per_site(contents.metrics)
    assert len(drawing.rows) == 3 * 4 + 3 + 2  # no pooled local
    axes = drawing.figure.axes[0]
    points = [line for line in axes.get_lines() if len(line.get_xdata()) == 1]
    assert sorted(line.get_xdata()[0] for line in points) == sorted(
        row["auc"] for row in drawing.rows if row["auc"] is not None
    )
    hollow = [line.get_xdata()[0] for line in points if line.get_markerfacecolor() == "white"]
    assert sorted(hollow) == sorted(row["auc"] for row in drawing.rows if row["mark"] == "few")
    low = min(row["low"] for row in drawing.rows if row["low"] is not None)
    assert axes.get_xlim()[0] < low
    assert "one class only" in axes.texts[0].get_text()
    assert len(axes.texts) == 1  # one reason for three methods is said once
