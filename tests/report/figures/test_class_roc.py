from dataclasses import replace

from outcome_metrics import class_metrics

from fedtune3d.report.figures.class_roc import draw_class_roc
from fedtune3d.report.number_formatting import interval


def test_each_class_has_its_curve_and_auc() -> None:
    metrics = class_metrics()
    drawing = draw_class_roc(metrics)
    curves = [line for line in drawing.figure.axes[0].get_lines() if len(line.get_xdata()) > 2]
    assert len(curves) == 3
    assert list(curves[0].get_ydata()) == list(metrics.pooled.of_class[0].roc.sensitivity)
    legend = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert legend[1] == f"MCI, 29 people, AUC {interval(metrics.pooled.of_class[1].auc)}"
    assert "points are exact" in drawing.description


def test_the_legend_calls_a_numeric_class_a_class() -> None:
    drawing = draw_class_roc(replace(class_metrics(), classes=("0", "1", "2")))
    assert drawing.figure.legends[0].get_texts()[1].get_text().startswith("class 1, 29 people")
    assert {row["class"] for row in drawing.rows} == {"0", "1", "2"}  # as in the tables of participants


def test_curves_of_a_grid_are_called_that() -> None:
    drawing = draw_class_roc(class_metrics(share=False))
    assert all(text.get_text().endswith(", on a grid") for text in drawing.figure.legends[0].get_texts())
    assert "grid of probabilities" in drawing.description


def test_nothing_is_drawn_of_models_of_their_own() -> None:
    assert draw_class_roc(class_metrics(shared_model=False)) is None
