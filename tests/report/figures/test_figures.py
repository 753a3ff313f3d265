"""The data behind each figure, and that what is drawn is what the data say."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from fedtune3d._utils.folders import RunFolder
from fedtune3d.report.figures.auc_per_site import draw_auc_per_site
from fedtune3d.report.figures.drawing import site_marks
from fedtune3d.report.figures.learning_curves import draw_learning_curves
from fedtune3d.report.figures.weights_per_round import draw_weights
from fedtune3d.report.run_contents import RunContents, read_run

SITES = ["Amsterdam", "Boston", "Graz", "Lagos"]


@pytest.fixture
def contents(make_run: Callable[..., Path]) -> RunContents:
    return read_run(make_run())


def line_of(axes: Axes, label: str) -> tuple[list, list]:
    line = next(line for line in axes.get_lines() if line.get_label() == label)
    return list(line.get_xdata()), list(line.get_ydata())


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


def test_learning_curves_are_the_ledger(contents: RunContents) -> None:
    drawing = draw_learning_curves(contents.ledger, SITES, best_round=4)
    auc_axes, loss_axes = drawing.figure.axes
    rounds, values = line_of(auc_axes, "Boston")
    assert rounds == list(range(11))  # the state of round 0 to that of round 10
    assert values == [line.sites["Boston"].received.auc for line in contents.ledger]
    assert line_of(auc_axes, "mean over sites")[1] == [line.validation.mean_auc for line in contents.ledger]
    assert line_of(auc_axes, "best round (4)")[0] == [4, 4]
    losses = dict(zip(*line_of(loss_axes, "Graz"), strict=True))
    assert np.isnan(losses[3])
    assert losses[4] == contents.ledger[3].sites["Graz"].loss


def test_the_curves_of_a_run_are_its_ledger(small_run: RunFolder) -> None:
    ledger = read_run(small_run.path).ledger
    curves, weights = draw_learning_curves(ledger, ["A", "B"], best_round=1), draw_weights(ledger, ["A", "B"], "FedAvg")
    auc_axes, loss_axes = curves.figure.axes
    for site in "AB":
        entries = [line.sites[site] for line in ledger]
        assert line_of(auc_axes, site) == ([0, 1, 2], [entry.received.auc for entry in entries])
        losses = dict(zip(*line_of(loss_axes, site), strict=True))
        assert [losses[1], losses[2]] == [entry.loss for entry in entries[:2]]
        assert line_of(weights.figure.axes[0], site) == ([1, 2], [entry.weight for entry in entries[:2]])


def test_weights_break_where_a_site_was_absent(contents: RunContents) -> None:
    drawing = draw_weights(contents.ledger, SITES, "FedAvg")
    rounds, weights = line_of(drawing.figure.axes[0], "Graz")
    assert rounds == list(range(1, 11))
    assert np.isnan(weights[2])
    assert not np.isnan(weights[3])
    for round_ in rounds:
        assert sum(row["weight"] or 0 for row in drawing.rows if row["round"] == round_) == pytest.approx(1)
    assert [row["fault"] for row in drawing.rows if row["fault"]] == ["took longer than its deadline of 60 s"]


def test_nothing_to_draw_is_none() -> None:
    assert draw_learning_curves([], SITES, None) is None
    assert draw_weights([], SITES, "FedAvg") is None


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


def test_sixty_sites_are_drawn_apart() -> None:
    marks = site_marks([f"s{number}" for number in range(60)])
    assert len({json.dumps(mark) for mark in marks.values()}) == 60


def test_many_sites_are_not_named_one_by_one(contents: RunContents) -> None:
    sites = [f"s{number:02d}" for number in range(40)]
    entry = contents.ledger[0].sites["Boston"]
    ledger = [replace(line, sites=dict.fromkeys(sites, entry)) for line in contents.ledger]
    drawing = draw_learning_curves(ledger, sites, None)
    labels = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert labels == ["each site", "mean over sites"]
