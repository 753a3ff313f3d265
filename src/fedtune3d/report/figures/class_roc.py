"""ROC curve of each class against the rest."""

from collections.abc import Sequence

from fedtune3d.config.class_names import class_title
from fedtune3d.evaluation.multiclass.metrics import ClassMetrics, OneClass
from fedtune3d.evaluation.roc import RocCurve
from fedtune3d.report.figures.class_marks import class_marks
from fedtune3d.report.figures.drawing import Cell, Drawing, new_figure
from fedtune3d.report.figures.roc_axes import are_exact, finish_roc_axes, grid_mark
from fedtune3d.report.number_formatting import interval, plural


def draw_class_roc(metrics: ClassMetrics) -> Drawing | None:
    """Draw the ROC curve of each class against all others, of all sites' test scans; None if none is defined."""
    if metrics.pooled is None:
        return None
    of_class = dict(zip(metrics.classes, metrics.pooled.of_class, strict=True))
    curves = {name: part.roc for name, part in of_class.items() if part.roc is not None}
    if not curves:
        return None
    marks, figure = class_marks(metrics.classes), new_figure(5.2, 5.2 + 0.2 * len(curves))
    axes = figure.add_subplot()
    for name, curve in curves.items():
        axes.plot(
            curve.false_positive_rate,
            curve.sensitivity,
            color=marks[name].colour,
            linestyle=marks[name].line,
            linewidth=1.8,
            label=_label(name, of_class[name], curve),
        )
    finish_roc_axes(
        figure,
        axes,
        "Share of the other classes' scans above the threshold",
        "Share of the class's scans above the threshold",
    )
    return Drawing(
        name="class_roc",
        title="ROC curves of the classes against the rest, federated",
        description="ROC curve of the federated model's probability of each class, which tells that class from all "
        f"others together, on all test scans; {_points(list(curves.values()))}.",
        figure=figure,
        rows=[row for name, curve in curves.items() for row in _rows(name, curve)],
    )


def _label(name: str, part: OneClass, curve: RocCurve) -> str:
    people = "1 person" if part.people == 1 else f"{part.people} people"
    return f"{class_title(name)}, {people}, AUC {interval(part.auc)}{grid_mark(curve)}"


def _points(curves: Sequence[RocCurve]) -> str:
    if are_exact(curves):
        return "points are exact"
    return (
        f"{plural(len(curves), 'curve')} through the points of a grid of probabilities, as predictions stay at a site"
    )


def _rows(name: str, curve: RocCurve) -> list[dict[str, Cell]]:
    return [
        {"class": name, "source": curve.source, "false_positive_rate": rate, "sensitivity": sensitivity}
        for rate, sensitivity in zip(curve.false_positive_rate, curve.sensitivity, strict=True)
    ]
