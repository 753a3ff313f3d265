"""Confusion matrices of several classes, per site and of all test scans."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from fedtune3d.evaluation.multiclass.confusion_matrix import ConfusionMatrix, matrix_array
from fedtune3d.evaluation.multiclass.metrics import ClassMetrics, ClassTestMetrics
from fedtune3d.report.figures.drawing import BLACK, GREY, Cell, Drawing, new_figure
from fedtune3d.report.figures.learning_curves import MANY_SITES
from fedtune3d.report.number_formatting import plural

_COLUMNS = 4
_DARK = 0.55
"""Share from which the text in a cell is white."""


def draw_confusion_matrix(metrics: ClassMetrics) -> Drawing | None:
    """Draw one matrix per site and one of all test scans; None without scans.

    Each cell has the scans of the row's class that were called the column's class, and of how many.
    """
    parts = _shown(metrics)
    if not parts:
        return None
    classes, columns = metrics.classes, min(_COLUMNS, len(parts))
    side = 1.1 + 0.62 * len(classes)
    figure = new_figure(side * columns, (side + 0.4) * math.ceil(len(parts) / columns))
    for position, (name, part) in enumerate(parts.items(), start=1):
        axes = figure.add_subplot(math.ceil(len(parts) / columns), columns, position)
        _draw(axes, part.confusion, classes)
        axes.set_title(f"{name}, {plural(part.scans, 'scan')}", fontsize=9, loc="left")
        axes.set_xlabel("Predicted class", fontsize=8.5, labelpad=6)
        if position % columns == 1 or columns == 1:
            axes.set_ylabel("Class", fontsize=8.5, labelpad=6)
    return Drawing(
        name="confusion_matrix",
        title="Confusion matrix, federated",
        description="Test scans by class (rows) and predicted class (columns), per site and of all sites: number "
        "of scans, number in the true class, and percentage. A cell about fewer people than the site's policy allows "
        "is held back.",
        figure=figure,
        rows=[row for name, part in parts.items() for row in _rows(name, part, classes)],
    )


def _shown(metrics: ClassMetrics) -> dict[str, ClassTestMetrics]:
    """Each site unless there are many, then all sites together."""
    everyone = {} if metrics.pooled is None else {"Pooled": metrics.pooled}
    sites = dict(metrics.sites) if len(metrics.sites) <= MANY_SITES or not everyone else {}
    return {name: part for name, part in (sites | everyone).items() if part.scans}


def _draw(axes: Axes, matrix: ConfusionMatrix, classes: Sequence[str]) -> None:
    shares = matrix_array(matrix)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, cells in enumerate(matrix.cells):
        for column, cell in enumerate(cells):
            total, share = matrix.totals[row], shares[row, column]
            if cell is None or not total:
                axes.text(column, row, "held back" if cell is None else "–", fontsize=6, ha="center", va="center")
                continue
            colour = "white" if share > _DARK else BLACK
            axes.text(column, row - 0.12, f"{cell}/{total}", fontsize=8, ha="center", va="center", color=colour)
            axes.text(column, row + 0.25, f"{share:.0%}", fontsize=6, ha="center", va="center", color=colour)
    axes.set_xticks(range(len(classes)), classes, fontsize=8)
    axes.set_yticks(range(len(classes)), classes, fontsize=8)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_color(GREY)


def _rows(name: str, part: ClassTestMetrics, classes: Sequence[str]) -> list[dict[str, Cell]]:
    return [
        {
            "part": name,
            "class": classes[row],
            "predicted": classes[column],
            "scans": cell,
            "of": part.confusion.totals[row],
        }
        for row, cells in enumerate(part.confusion.cells)
        for column, cell in enumerate(cells)
    ]
