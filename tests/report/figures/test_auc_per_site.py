"""What the forest plot draws and writes is what the metrics say."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from fedtune3d.config.class_names import ClassNames
from fedtune3d.report.figures.auc_per_site import draw_auc_per_site
from fedtune3d.report.figures.drawing import METHOD_MARKS
from fedtune3d.report.run_contents import RunContents, read_run


@pytest.fixture
def contents(make_run: Callable[..., Path]) -> RunContents:
    return read_run(make_run())


def test_auc_per_site_draws_each_estimate_and_says_what_is_missing(contents: RunContents) -> None:
    drawing = draw_auc_per_site(contents.metrics, names=ClassNames("AD", "CN"))
    assert len(drawing.rows) == 3 * 4 + 3 + 2  # no pooled local
    axes = drawing.figure.axes[0]
    points = [line for line in axes.get_lines() if len(line.get_xdata()) == 1]
    assert sorted(line.get_xdata()[0] for line in points) == sorted(
        row["auc"] for row in drawing.rows if row["auc"] is not None
    )
    filled = [line.get_xdata()[0] for line in points if line.get_markerfacecolor() != "white"]
    federated = [row for row in drawing.rows if row["method"] == "federated" and row["auc"] is not None]
    assert sorted(filled) == sorted(row["auc"] for row in federated)
    colours = {mark.colour for mark in METHOD_MARKS.values()}
    intervals = [line for line in axes.get_lines() if len(line.get_xdata()) == 2 and line.get_color() in colours]
    assert {line.get_linestyle() for line in intervals} == {"-"}
    assert len(intervals) == len(points)
    written = [text.get_text() for text in drawing.figure.texts]
    assert [f"{row['auc']:.2f} [{row['low']:.2f}, {row['high']:.2f}]" for row in federated] == [
        text for text in written if "[" in text and "," in text
    ]
    assert [text for text in written if " + " in text and "AD" not in text] == [
        *("11 + 14", "18 + 22", "4 + 5", "0 + 7", "33 + 48")
    ]
    low = min(row["low"] for row in drawing.rows if row["low"] is not None)
    assert axes.get_xlim()[0] < low
    assert "one class only" in axes.texts[0].get_text()
    assert len(axes.texts) == 1  # one reason for three methods is said once


@pytest.mark.parametrize(
    "names", [ClassNames("AD", "CN"), ClassNames("Dementia", "Control"), ClassNames("Progressive MCI" * 2, "W" * 40)]
)
def test_no_head_of_a_column_runs_into_the_next(contents: RunContents, names: ClassNames) -> None:
    assert contents.metrics is not None
    figure = draw_auc_per_site(contents.metrics, names=names).figure
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    heads = {text.get_text().partition(" ")[0]: text.get_window_extent() for text in figure.texts[-4:]}
    assert next(iter(heads)) == "Site"
    boxes = list(heads.values())
    assert all(first.x1 < second.x0 for first, second in itertools.pairwise(boxes))
    assert all(box.y1 <= figure.bbox.y1 for box in boxes)
