from dataclasses import replace

from outcome_metrics import CLASSES, class_metrics

from fedtune3d.report.figures.class_auc import draw_class_auc
from fedtune3d.report.figures.class_marks import MACRO, class_marks


def test_each_class_has_a_panel_of_its_name_with_all_sites() -> None:
    metrics = class_metrics()
    drawing = draw_class_auc(metrics)
    assert metrics.pooled is not None
    panels = {axes.get_title(loc="left"): axes for axes in drawing.figure.axes}
    assert list(panels) == [*CLASSES, MACRO]
    for name, axes in panels.items():
        points = {line.get_ydata()[0]: line.get_xdata()[0] for line in axes.get_lines() if len(line.get_xdata()) == 1}
        expected = [row["auc"] for row in drawing.rows if row["class"] == name and row["auc"] is not None]
        assert [points[height] for height in sorted(points)] == expected
        undefined = [text.get_text() for text in axes.texts if text.get_text()]
        assert undefined == (["not defined"] if name in ("MCI", MACRO) else [])  # Graz has no MCI
    assert len(drawing.rows) == 4 * 4 + 1  # the mean over sites is of the mean of the classes
    first, *others = panels.values()
    names = [label.get_text() for label in first.get_yticklabels()]
    assert names == [
        *(f"{site} ({metrics.sites[site].participants})" for site in ("Amsterdam", "Boston", "Graz")),
        "Mean",
        f"Pooled ({metrics.pooled.participants})",
    ]
    assert all(not label.get_text() for axes in others for label in axes.get_yticklabels())
    assert "hollow: fewer than 10 people in a class" in drawing.figure._supxlabel.get_text()


def test_the_panel_of_a_numeric_class_is_called_a_class() -> None:
    drawing = draw_class_auc(replace(class_metrics(), classes=("0", "1", "2")))
    titles = [axes.get_title(loc="left") for axes in drawing.figure.axes]
    assert titles == ["class 0", "class 1", "class 2", MACRO]


def test_it_is_as_wide_as_the_page_and_low_enough_for_the_first_screen() -> None:
    width, height = draw_class_auc(class_metrics()).figure.get_size_inches()
    assert (width, height < 2.4) == (10.4, True)


def test_marks_tell_classes_apart_without_colour() -> None:
    marks = class_marks(CLASSES)
    assert len({(mark.marker, str(mark.line)) for mark in (marks[name] for name in CLASSES)}) == 3
