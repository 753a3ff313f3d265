from dataclasses import replace

from outcome_metrics import number_metrics

from fedtune3d.evaluation.estimate import undefined
from fedtune3d.report.figures.corrected_gap import draw_corrected_gap


def test_each_site_has_its_gap_with_interval_and_deviation() -> None:
    metrics = number_metrics()
    drawing = draw_corrected_gap(metrics, "age", "years")
    assert [row["part"] for row in drawing.rows] == ["Amsterdam", "Boston", "Graz", "Pooled"]
    axes = drawing.figure.axes[0]
    points = [line.get_xdata()[0] for line in axes.get_lines() if len(line.get_xdata()) == 1]
    assert points == [row["mean"] for row in drawing.rows]
    hollow = [line for line in axes.get_lines() if line.get_markerfacecolor() == "white"]
    assert [line.get_xdata()[0] for line in hollow] == [metrics.sites["Graz"].gap.mean.value]
    assert axes.get_yticklabels()[2].get_text() == "Graz, n = 7"
    assert drawing.svg.startswith(b"<?xml")


def test_a_gap_without_an_interval_gives_its_reason() -> None:
    metrics = number_metrics()
    graz = metrics.sites["Graz"]
    lone = replace(graz, gap=replace(graz.gap, mean=undefined("fewer than two people")))
    drawing = draw_corrected_gap(replace(metrics, sites=dict(metrics.sites) | {"Graz": lone}), "age", "years")
    assert "fewer than two people" in drawing.figure.axes[0].texts[0].get_text()


def test_no_correction_no_figure() -> None:
    metrics = number_metrics(shared_model=False)
    without = {site: replace(part, gap=None) for site, part in metrics.sites.items()}
    assert draw_corrected_gap(replace(metrics, sites=without), "age", "years") is None
    assert draw_corrected_gap(number_metrics(slope=0.0), "age", "years") is None
