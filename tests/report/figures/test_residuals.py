import pytest
from outcome_metrics import number_metrics

from fedtune3d.report.figures.residuals import draw_residuals


def test_means_by_range_and_the_line_of_the_correction() -> None:
    metrics = number_metrics()
    drawing = draw_residuals(metrics, "age", "years")
    lines = {line.get_label(): line for line in drawing.figure.axes[0].get_lines()}
    assert len(lines["scans"].get_xdata()) == 91
    fitted, correction = lines["line of validation scans"], metrics.corrections["Boston"]
    ends = zip(fitted.get_xdata(), fitted.get_ydata(), strict=True)
    assert all(error == pytest.approx(correction.intercept + (correction.slope - 1) * truth) for truth, error in ends)
    means = next(line for line in lines.values() if line.get_markersize() == 8)
    assert lines["scans"].get_zorder() > means.get_zorder()  # no scan is hidden by the means
    assert sum(row["scans"] for row in drawing.rows) == 91
    assert drawing.svg.startswith(b"<?xml")


def test_without_predictions_no_scan_is_drawn() -> None:
    drawing = draw_residuals(number_metrics(share=False), "age", "years")
    assert "scans" not in {line.get_label() for line in drawing.figure.axes[0].get_lines()}
    assert min(row["people"] for row in drawing.rows) >= 5
    assert draw_residuals(number_metrics(shared_model=False), "age", "years") is None


def test_a_line_with_a_slope_near_0_is_not_drawn() -> None:
    drawing = draw_residuals(number_metrics(slope=0.0), "age", "years")
    assert "line of validation scans" not in {line.get_label() for line in drawing.figure.axes[0].get_lines()}
    assert "its slope is near 0" in drawing.description
