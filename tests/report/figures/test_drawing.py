"""A figure on disk, and the marks of its sites."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fedtune3d.report.figures.drawing import row_wise, site_marks, tab_separated
from fedtune3d.report.figures.weights_per_round import draw_weights
from fedtune3d.report.run_contents import RunContents, read_run

SITES = ["Amsterdam", "Boston", "Graz", "Lagos"]


@pytest.fixture
def contents(make_run: Callable[..., Path]) -> RunContents:
    return read_run(make_run())


def test_files_beside_one_another(contents: RunContents, tmp_path: Path) -> None:
    for folder in (tmp_path / "figures", tmp_path / "again"):
        drawing = draw_weights(contents.ledger, SITES, "FedAvg")
        drawing.note("simulated scans")
        drawing.save(folder)
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        f"weights_per_round.{kind}" for kind in ("png", "svg", "tsv")
    ]
    svg = (tmp_path / "figures/weights_per_round.svg").read_bytes()
    assert svg == (tmp_path / "again/weights_per_round.svg").read_bytes()
    with (tmp_path / "figures/weights_per_round.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) == 40
    assert [float(row["weight"] or "nan") for row in rows] == pytest.approx(
        [np.nan if row["weight"] is None else row["weight"] for row in drawing.rows], nan_ok=True
    )


def test_a_legend_is_read_row_by_row() -> None:
    entries = [Line2D([], [], label=name) for name in "abcde"]
    figure = Figure()
    legend = figure.legend(handles=row_wise(entries, 3), ncols=3)
    FigureCanvasAgg(figure).draw()
    places = {text.get_text(): text.get_window_extent() for text in legend.get_texts()}
    assert sorted(places, key=lambda name: (-round(places[name].y0), places[name].x0)) == list("abcde")


def test_sixty_sites_are_drawn_apart() -> None:
    marks = site_marks([f"s{number}" for number in range(60)])
    assert len({json.dumps(mark) for mark in marks.values()}) == 60


def test_no_spreadsheet_evaluates_a_cell() -> None:
    rows = [{"site": '=HYPERLINK("http://evil")', "why": "@SUM(A1)\tx\ny\x1b[2J", "auc": -0.5}]
    header, row = tab_separated(rows).splitlines()
    assert header == "site\twhy\tauc"
    assert row == "'=HYPERLINK(\"http://evil\")\t'@SUM(A1) x y\\x1b[2J\t-0.5"
