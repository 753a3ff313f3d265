from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.sample import FROM_COUNTS
from fedtune3d.report.figures.roc import draw_roc
from fedtune3d.report.run_contents import read_run


@pytest.fixture
def metrics(make_run: Callable[..., Path]) -> RunMetrics:
    found = read_run(make_run()).metrics
    assert found is not None
    return found


def legend_of(metrics: RunMetrics) -> list[str]:
    drawing = draw_roc(metrics, list(metrics.federated.sites))
    assert drawing is not None
    return [text.get_text() for text in drawing.figure.legends[0].get_texts()]


def test_curves_run_through_their_points_from_corner_to_corner(metrics: RunMetrics) -> None:
    drawing = draw_roc(metrics, list(metrics.federated.sites))
    assert drawing is not None
    curves = [line for line in drawing.figure.axes[0].get_lines() if len(line.get_xdata()) > 2]
    assert len(curves) == 4  # Lagos has one class
    for line in curves:
        assert (line.get_xdata()[0], line.get_ydata()[0]) == (0, 0)
        assert (line.get_xdata()[-1], line.get_ydata()[-1]) == (1, 1)
        assert line.get_drawstyle() == "default"
    boston = metrics.federated.sites["Boston"].roc
    assert boston is not None
    assert len(boston.sensitivity) == 41  # 40 scans of different probabilities
    assert list(curves[1].get_ydata()) == list(boston.sensitivity)


def test_the_legend_has_people_and_auc_of_each_site(metrics: RunMetrics) -> None:
    auc = metrics.federated.sites["Boston"].auc
    assert f"Boston, n = 18 + 22, AUC {auc.value:.2f} [{auc.low:.2f}, {auc.high:.2f}]" in legend_of(metrics)
    assert legend_of(metrics)[-1].startswith("all sites, n = 33 + 48, AUC ")


def test_points_of_a_grid_are_called_that(metrics: RunMetrics) -> None:
    boston = metrics.federated.sites["Boston"]
    assert boston.roc is not None
    sites = {**metrics.federated.sites, "Boston": replace(boston, roc=replace(boston.roc, source=FROM_COUNTS))}
    changed = replace(metrics, methods={**metrics.methods, "federated": replace(metrics.federated, sites=sites)})
    assert [label.endswith(", on a grid") for label in legend_of(changed)] == [False, True, False, False]
    drawing = draw_roc(changed, list(sites))
    assert drawing is not None
    assert "grid of probabilities" in drawing.description
