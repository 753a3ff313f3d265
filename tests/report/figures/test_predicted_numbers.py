import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from outcome_metrics import number_metrics

from fedtune3d.report.figures.predicted_numbers import draw_predicted_numbers
from fedtune3d.report.number_formatting import interval


def test_scans_are_points_and_the_calibration_line_is_that_of_the_measures() -> None:
    metrics = number_metrics()
    drawing = draw_predicted_numbers(metrics, "age", "years")
    identity, *sites, calibration = drawing.figure.axes[0].get_lines()
    assert list(identity.get_xdata()) == list(identity.get_ydata())
    assert [len(line.get_xdata()) for line in sites] == [24, 60, 7]
    measures = metrics.pooled.measures
    slope = np.polyfit(calibration.get_ydata(), calibration.get_xdata(), 1)
    assert slope == pytest.approx([measures.slope.value, measures.intercept.value])
    legend = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert f"calibration, slope {interval(measures.slope)}" in legend
    assert any(text.startswith("Graz, 7 people, MAE ") for text in legend)
    assert drawing.figure.axes[0].get_xlabel() == "True age (years)"
    assert len(drawing.rows) == 91
    width, height = drawing.figure.get_size_inches()
    assert (width, height < 4) == (10.4, True)  # as wide as the page, and low enough for the first screen
    right = drawing.figure.axes[0].get_position().x1
    legend_box = drawing.figure.legends[0].get_window_extent(FigureCanvasAgg(drawing.figure).get_renderer())
    assert right * drawing.figure.bbox.width < legend_box.x0 < legend_box.x1 < drawing.figure.bbox.width
    assert drawing.svg.startswith(b"<?xml")


def test_without_predictions_ranges_of_enough_people_are_drawn() -> None:
    drawing = draw_predicted_numbers(number_metrics(share=False), "MMSE", "")
    assert "means by range" in drawing.description
    assert min(row["scans"] for row in drawing.rows) >= 5
    assert sum(row["scans"] for row in drawing.rows) == 91
    assert drawing.figure.axes[0].get_ylabel() == "Predicted MMSE"


def test_nothing_is_drawn_of_models_of_their_own() -> None:
    assert draw_predicted_numbers(number_metrics(shared_model=False), "age", "years") is None


def test_a_calibration_line_with_a_slope_near_0_is_not_drawn() -> None:
    metrics = number_metrics(slope=0.0)
    assert metrics.pooled.measures.slope.low <= 0
    drawing = draw_predicted_numbers(metrics, "age", "years")
    assert len(drawing.figure.axes[0].get_lines()) == 1 + 3  # perfect predictions, and the scans of three sites
    assert "no calibration line: its slope is near 0" in drawing.description
