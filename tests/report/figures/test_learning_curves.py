"""What the learning curves draw is what the ledger says."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_lines import line_of

from fedtune3d._utils.folders import RunFolder
from fedtune3d.report.figures.learning_curves import draw_learning_curves
from fedtune3d.report.figures.weights_per_round import draw_weights
from fedtune3d.report.run_contents import RunContents, read_run

SITES = ["Amsterdam", "Boston", "Graz", "Lagos"]


@pytest.fixture
def contents(make_run: Callable[..., Path]) -> RunContents:
    return read_run(make_run())


def test_learning_curves_are_the_ledger(contents: RunContents) -> None:
    drawing = draw_learning_curves(contents.ledger, SITES, best_round=4)
    auc_axes, loss_axes = drawing.figure.axes
    rounds, values = line_of(auc_axes, "Boston")
    assert rounds == list(range(11))  # the state of round 0 to that of round 10
    assert values == [line.sites["Boston"].received.auc for line in contents.ledger]
    assert line_of(auc_axes, "mean over sites")[1] == [line.validation.mean_auc for line in contents.ledger]
    assert line_of(auc_axes, "evaluated (4)")[0] == [4, 4]
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


def test_without_an_auc_the_loss_by_which_rounds_are_compared_is_drawn(contents: RunContents) -> None:
    ledger = [
        replace(
            line,
            validation=replace(line.validation, mean_auc=None),
            sites={
                site: replace(entry, received=entry.received and replace(entry.received, auc=None))
                for site, entry in line.sites.items()
            },
        )
        for line in contents.ledger
    ]
    drawing = draw_learning_curves(ledger, SITES, best_round=4)
    left, _ = drawing.figure.axes
    assert left.get_title(loc="left") == "Validation loss"
    assert line_of(left, "Boston")[1] == [line.sites["Boston"].received.loss for line in ledger]
    assert line_of(left, "mean over sites")[1] == [line.validation.pooled_loss for line in ledger]


def test_many_sites_are_not_named_one_by_one(contents: RunContents) -> None:
    sites = [f"s{number:02d}" for number in range(40)]
    entry = contents.ledger[0].sites["Boston"]
    ledger = [replace(line, sites=dict.fromkeys(sites, entry)) for line in contents.ledger]
    drawing = draw_learning_curves(ledger, sites, None)
    labels = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert labels == ["each site", "mean over sites"]


def test_without_rounds_there_is_nothing_to_draw() -> None:
    assert draw_learning_curves([], SITES, None) is None
