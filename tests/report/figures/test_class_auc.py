from outcome_metrics import CLASSES, class_metrics

from fedtune3d.report.figures.class_auc import draw_class_auc
from fedtune3d.report.figures.class_marks import MACRO, class_marks


def test_each_class_and_their_mean_are_drawn_per_site() -> None:
    drawing = draw_class_auc(class_metrics())
    axes = drawing.figure.axes[0]
    points = [line for line in axes.get_lines() if len(line.get_xdata()) == 1]
    assert sorted(line.get_xdata()[0] for line in points) == sorted(
        row["auc"] for row in drawing.rows if row["auc"] is not None
    )
    assert len(drawing.rows) == 4 * 4 + 1  # the mean over sites is of the mean of the classes
    legend = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert legend == [*CLASSES, MACRO, "hollow: few people"]
    assert [label.get_text() for label in axes.get_yticklabels()][-2:] == ["Mean", "Pooled"]
    assert "1 of 3 classes without test scans" in axes.texts[0].get_text()


def test_marks_tell_classes_apart_without_colour() -> None:
    marks = class_marks(CLASSES)
    assert len({(mark.marker, str(mark.line)) for mark in (marks[name] for name in CLASSES)}) == 3
