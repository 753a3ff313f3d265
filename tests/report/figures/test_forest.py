import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from fedtune3d.evaluation import Predictions, paired_delong
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.paired import paired_errors
from fedtune3d.report.figures.forest import draw_forest
from fedtune3d.report.shown_measure import absolute_error
from fedtune3d.report.study_tables import PairedRow


def test_the_forest_draws_differences_with_their_p_values() -> None:
    names, labels = tuple("abcdefghij"), [0] * 5 + [1] * 5
    first = Predictions(names, ("",) * 10, labels, [0.1, 0.2, 0.3, 0.7, 0.4, 0.6, 0.5, 0.8, 0.9, 0.35])
    second = Predictions(names, ("",) * 10, labels, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
    comparison = paired_delong(first, second)
    drawing = draw_forest([PairedRow("heads", "Linear", "CONV S", 0, comparison, 0.04)])
    assert drawing is not None
    assert drawing.rows[0]["difference"] == comparison.difference.value < 0
    assert [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()] == ["Linear − CONV S"]
    assert draw_forest([]) is None


def test_a_tie_is_said_within_the_axis() -> None:
    names, labels = tuple("abcdefghij"), [0] * 5 + [1] * 5
    alike = Predictions(names, ("",) * 10, labels, [0.1, 0.2, 0.3, 0.7, 0.4, 0.6, 0.5, 0.8, 0.9, 0.35])
    drawing = draw_forest([PairedRow("rules", "SimpleAvg", "FedAvg", None, paired_delong(alike, alike), None)])
    assert drawing is not None
    axes = drawing.figure.axes[0]
    [text] = axes.texts
    assert text.get_text() == "tie: both rank the test people identically"
    FigureCanvasAgg(drawing.figure)
    drawing.figure.draw_without_rendering()
    box, inside = text.get_window_extent(), axes.get_window_extent()
    assert inside.x0 < box.x0 < box.x1 < inside.x1


def test_of_errors_the_left_side_is_better() -> None:
    names, truth = tuple("abcdef"), np.arange(50.0, 80.0, 5.0)
    first = NumberPredictions(names, ("",) * 6, truth, truth + np.array([1, -2, 3, 1, 2, -1]))
    second = NumberPredictions(names, ("",) * 6, truth, truth + np.array([4, -3, 3, 6, 2, -5]))
    comparison = paired_errors(first, second)
    drawing = draw_forest([PairedRow("heads", "Linear", "CONV S", None, comparison, 0.04)], absolute_error("years"))
    assert drawing is not None
    assert drawing.rows[0]["difference"] == comparison.difference.value < 0
    label = drawing.figure.axes[0].get_xlabel()
    assert label.startswith("Difference of test MAE (years), mean over sites, 95% CI (left: better")
