"""Test AUC of each class against the rest per site, with their mean."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedtune3d.config.class_names import class_title
from fedtune3d.evaluation.estimate import FEW, Estimate
from fedtune3d.evaluation.multiclass.metrics import ClassMetrics
from fedtune3d.report.class_tables import class_auc_rows
from fedtune3d.report.figures.class_marks import class_marks
from fedtune3d.report.figures.drawing import GREY, SOFT, Cell, Drawing, Mark, new_figure
from fedtune3d.report.table import AucRow

_WIDTH, _ROW, _AROUND = 10.4, 0.22, 0.72  # inches: of the figure, of a row, above and below the rows of a panel
_COLUMNS = 5
_LONGEST_NAME = 24
_NOTE = f"Test AUC, 95% CI · dashed: chance · hollow: fewer than {FEW} people in a class · in brackets: people"


def draw_class_auc(metrics: ClassMetrics) -> Drawing:
    """Draw a panel per class and one of their mean, each with the sites, the mean over sites and all test scans."""
    rows, marks = class_auc_rows(metrics), class_marks(metrics.classes)
    return Drawing(
        name="class_auc",
        title="Test AUC of each class against the rest, federated",
        description="Test AUC of each class against all others with 95% CIs, a panel per class and one for the mean of "
        "the classes: per site, as the mean over sites (of the mean of the classes only) and for all test scans; the "
        "tables under Results have the same numbers.",
        figure=_draw(rows, marks, {name: part.participants for name, part in metrics.parts.items()}),
        rows=[
            _data(row.name, name, estimate)
            for row in rows
            for name, estimate in zip(marks, row.estimates, strict=True)
            if estimate is not None
        ],
    )


def _draw(rows: Sequence[AucRow], marks: Mapping[str, Mark], people: Mapping[str, int]) -> Figure:
    columns = min(_COLUMNS, len(marks))
    lines = math.ceil(len(marks) / columns)
    figure = new_figure(_WIDTH, 0.25 + lines * (_AROUND + _ROW * len(rows)))
    lows = [part.low for row in rows for part in row.estimates if part is not None and part.low is not None]
    lowest = max(-0.02, min([0.45, *(low - 0.03 for low in lows)]))
    for index, (name, mark) in enumerate(marks.items()):
        axes = figure.add_subplot(lines, columns, index + 1)
        axes.set_xlim(lowest, 1.02)
        for height, row in enumerate(rows):
            _draw_estimate(axes, row.estimates[index], height, mark)
        _style(axes, rows, people, named=index % columns == 0)
        axes.set_title(class_title(name), fontsize=9.5, loc="left", weight="bold")
    figure.supxlabel(_NOTE, fontsize=8.5, color=SOFT)
    return figure


def _draw_estimate(axes: Axes, estimate: Estimate | None, height: float, mark: Mark) -> None:
    if estimate is None or estimate.limits is None:
        text = "" if estimate is None else "not defined"
        axes.text(0.98, height, text, fontsize=8, color=GREY, ha="right", va="center")
        return
    value, low, high = estimate.limits
    axes.plot([low, high], [height, height], color=mark.colour, linewidth=1.6, zorder=2)
    face = "white" if estimate.mark else mark.colour
    axes.plot(value, height, marker=mark.marker, color=mark.colour, markerfacecolor=face, markersize=6, zorder=3)


def _style(axes: Axes, rows: Sequence[AucRow], people: Mapping[str, int], named: bool) -> None:
    """Style a panel, the first of its line with the names of the rows."""
    short = [row.name if len(row.name) <= _LONGEST_NAME else f"{row.name[: _LONGEST_NAME - 1]}…" for row in rows]
    names = [
        f"{name} ({people[row.name]})" if row.name in people else name for name, row in zip(short, rows, strict=True)
    ]
    axes.set_yticks(range(len(rows)), names if named else [""] * len(rows), fontsize=8.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.axvline(0.5, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.axhline(sum(row.kind == "site" for row in rows) - 0.5, color=GREY, linewidth=0.7)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _data(row: str, name: str, estimate: Estimate) -> dict[str, Cell]:
    return {
        "row": row,
        "class": name,
        "auc": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "mark": estimate.mark,
        "undefined": estimate.undefined,
        "interval": estimate.method,
    }
