from fedtune3d.evaluation import Predictions, paired_delong
from fedtune3d.report.figures.forest import draw_forest
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
