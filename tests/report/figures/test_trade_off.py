from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from fedtune3d.report.figures.trade_off import draw_trade_off, offsets
from fedtune3d.report.study_contents import read_study
from fedtune3d.report.study_tables import cost_rows


def test_every_mark_stands_at_its_true_cost(finished_study: Path) -> None:
    """All trials of the drawn study cost the same: only points on the page keep them apart."""
    contents = read_study(finished_study)
    totals = [entry.total_bytes for entry in cost_rows(contents)]
    assert len(totals) == 5
    assert len(set(totals)) == 1
    drawing = draw_trade_off(contents)
    assert drawing is not None
    axes = drawing.figure.axes[0]
    marks = [line for line in axes.get_lines() if len(line.get_xdata()) == 1]
    assert [line.get_xdata()[0] for line in marks] == totals
    drawing.figure.canvas.draw()
    pixels = [line.get_transform().transform((line.get_xdata()[0], line.get_ydata()[0]))[0] for line in marks]
    steps = [(second - first) / drawing.figure.dpi * 72 for first, second in pairwise(pixels)]
    assert steps == pytest.approx([4.0] * 4)
    low, high = axes.get_xlim()
    assert low < totals[0] < high
    assert [row["total_bytes"] for row in drawing.rows] == totals


def test_marks_are_moved_only_where_others_are_near() -> None:
    assert offsets([100.0, 200.0, 104.0]) == [-2.0, 0.0, 2.0]
    assert offsets([100.0, 109.0, 118.0]) == [-4.0, 0.0, 4.0]  # each within 10% of the one before
    assert offsets([5.0]) == [0.0]


def test_the_axes_hold_every_interval(finished_study: Path) -> None:
    contents = read_study(finished_study)
    drawing = draw_trade_off(contents)
    assert drawing is not None
    low, high = drawing.figure.axes[0].get_ylim()
    limits = [entry.row.mean.estimate.limits for entry in cost_rows(contents)]
    assert all(low < found[1] <= found[2] < high for found in limits if found)


def test_nothing_finished_is_no_figure(finished_study: Path) -> None:
    contents = read_study(finished_study)
    assert draw_trade_off(replace(contents, runs={})) is None
