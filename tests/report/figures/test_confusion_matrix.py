from outcome_metrics import CLASSES, class_metrics

from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.combination import combine_classes
from fedtune3d.evaluation.multiclass.summary import summarise_classes
from fedtune3d.report.figures.confusion_matrix import draw_confusion_matrix


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_each_cell_has_its_scans_of_those_of_the_class() -> None:
    metrics = class_metrics()
    drawing = draw_confusion_matrix(metrics)
    *sites, everyone = drawing.figure.axes
    matrix = metrics.pooled.confusion
    expected = [f"{cell}/{total}" for total, row in zip(matrix.totals, matrix.cells, strict=True) for cell in row]
    assert texts(everyone)[::2] == expected
    assert texts(everyone)[1] == f"{matrix.cells[0][0] / matrix.totals[0]:.0%}"
    assert [axes.get_title(loc="left").split(",")[0] for axes in sites] == ["Amsterdam", "Boston", "Graz"]
    assert [label.get_text() for label in everyone.get_xticklabels()] == list(CLASSES)
    assert texts(sites[2]).count("–") == 3  # Graz has no MCI
    assert len(drawing.rows) == 4 * 9
    assert {axes.get_xlabel() for axes in drawing.figure.axes} == {"Predicted class"}
    assert drawing.svg.startswith(b"<?xml")


def test_cells_about_few_people_are_held_back_in_the_picture_and_in_its_data() -> None:
    drawing = draw_confusion_matrix(class_metrics(share=False, min_people=5))
    hidden = [row for row in drawing.rows if row["scans"] is None]
    assert sum(texts(axes).count("held back") for axes in drawing.figure.axes) == len(hidden) > 0


def test_no_scans_no_matrix() -> None:
    import numpy as np

    nobody = ClassPredictions((), (), np.empty(0, int), np.empty((0, 3)))
    assert draw_confusion_matrix(combine_classes({"A": summarise_classes(nobody, CLASSES, True)})) is None
