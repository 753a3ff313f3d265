"""Forest plot of a run: per site the people of each class, the methods' AUCs with their CIs, and the federated AUC."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath

from fedtune3d.config.class_names import UNNAMED, ClassNames
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.report.budget import Budget, differing, labelled
from fedtune3d.report.figures.drawing import BLACK, GREY, METHOD_MARKS, SOFT, Cell, Drawing, Mark, new_figure
from fedtune3d.report.number_formatting import METHODS, limits_text
from fedtune3d.report.table import AucRow, auc_rows, shown_methods

NO_BUDGETS: Mapping[str, Budget] = MappingProxyType({})
_WIDTH, _TOP, _BOTTOM = 10.4, 0.5, 0.62  # inches
_LEFT, _RIGHT = 2.75, 1.75  # inches of the columns on both sides
_NAME, _COUNT, _AUC = 0.05, 1.75, 10.35  # inches from the left: names, people (from the left), AUC (to the right)
_HEAD_LINE, _HEAD_SIZE = 0.14, 8.5  # inches of a line of the heads, and their size in points
_WIDEST_COUNT = 2.0  # inches of the column of people; longer names of classes are in two lines
_LINE, _LEGEND_LETTERS = 0.19, 120  # inches of a line of the legend, and letters that fit into one
_LONGEST_NAME, _LONGEST_CLASS = 20, 26


def draw_auc_per_site(
    metrics: RunMetrics, budgets: Mapping[str, Budget] = NO_BUDGETS, names: ClassNames = UNNAMED
) -> Drawing:
    """Draw one row per site, then mean and pooled, with the people of each class and the federated AUC as text.

    Args:
        metrics: The metrics of the run.
        budgets: Method → its budget; where budgets differ, the legend says in what.
        names: The names of the classes.
    """
    methods, rows = shown_methods(metrics), auc_rows(metrics)
    differs = differing({name: [budgets[name]] if name in budgets else [] for name in methods})
    series = {labelled(METHODS[name].lower(), differs[name]): METHOD_MARKS[name] for name in methods}
    return Drawing(
        name="auc_per_site",
        title="Test AUC per site with 95% CIs",
        description="Forest plot: test AUC with 95% CI per site, "
        + ", ".join(METHODS[name].lower() for name in methods)
        + f", with the people of each class ({names.both}) and the federated AUC; the table under Results has the "
        "same numbers.",
        figure=_draw(rows, series, names),
        rows=[
            _data(row, method, estimate)
            for row in rows
            for method, estimate in zip(methods, row.estimates, strict=True)
            if estimate is not None
        ],
    )


def _draw(rows: Sequence[AucRow], series: Mapping[str, Mark], names: ClassNames) -> Figure:
    head = _people_head(names)
    count_inches = max(_LEFT - _COUNT, *(_inches(line) + 0.2 for line in head))
    top, left = _TOP + _HEAD_LINE * (len(head) - 1), _COUNT + count_inches
    columns = len(series) if sum(map(len, series)) < _LEGEND_LETTERS else 1
    bottom = _BOTTOM + _LINE * (math.ceil(len(series) / columns) - 1)
    row_inches = 0.21 + 0.055 * len(series)
    height = top + row_inches * len(rows) + bottom
    figure = new_figure(_WIDTH, height)
    figure.set_layout_engine("none")
    plot = (left / _WIDTH, bottom / height, (_WIDTH - left - _RIGHT) / _WIDTH, row_inches * len(rows) / height)
    axes = figure.add_axes(plot)
    _style(axes, rows)
    slot = min(0.24, 0.72 / len(series))
    faces = [mark.colour if index == 0 else "white" for index, mark in enumerate(series.values())]  # federated filled
    for place, row in enumerate(rows):
        _write_row(figure, axes, row, place)
        reasons = {estimate.undefined if estimate else None for estimate in row.estimates}
        if len(reasons) == 1 and None not in reasons:
            _write_reason(axes, row.estimates[0], place, BLACK)
            continue
        drawn = zip(series.values(), faces, row.estimates, strict=True)
        for index, (mark, face, estimate) in enumerate(drawn):
            if estimate is not None:
                _draw_estimate(axes, estimate, place + (index - (len(series) - 1) / 2) * slot, mark, face)
    _write_heads(figure, axes, "\n".join(head), left)
    handles = [
        Line2D([], [], color=mark.colour, marker=mark.marker, markersize=6.5, markerfacecolor=face, label=title)
        for (title, mark), face in zip(series.items(), faces, strict=True)
    ]
    figure.legend(handles=handles, loc="lower center", ncols=columns, frameon=False, fontsize=8.5)
    return figure


def _style(axes: Axes, rows: Sequence[AucRow]) -> None:
    lows = [
        estimate.low for row in rows for estimate in row.estimates if estimate is not None and estimate.low is not None
    ]
    axes.set_xlim(max(-0.02, min([0.45, *(low - 0.03 for low in lows)])), 1.02)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.axvline(0.5, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    for place in range(1, len(rows)):
        summary = rows[place].kind != "site" and rows[place - 1].kind == "site"
        axes.axhline(place - 0.5, color=GREY if summary else "#e4e4e4", linewidth=0.8 if summary else 0.5)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _people_head(names: ClassNames) -> list[str]:
    """Return the lines of the head of the column of people: one, or two where the names of the classes are long."""
    if _inches(names.both) <= _WIDEST_COUNT:
        return [names.both]
    positive, negative = (_shortened(name, _LONGEST_CLASS) for name in (names.positive, names.negative))
    return [f"{positive} +", negative]


def _inches(text: str) -> float:
    """Measure a line of a head."""
    points = TextPath((0, 0), text, size=_HEAD_SIZE).get_extents().width
    return points / 72


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _write_heads(figure: Figure, axes: Axes, people: str, left: float) -> None:
    top = axes.get_position().y1 + 0.05 / figure.get_figheight()
    for inches, text, align in (
        (_NAME, "Site", "left"),
        (_COUNT, people, "left"),
        (left, "Test AUC, 95% CI (dashed: chance)", "left"),
        (_AUC, "Federated AUC [95% CI]", "right"),
    ):
        figure.text(inches / _WIDTH, top, text, fontsize=_HEAD_SIZE, color=SOFT, va="bottom", ha=align)


def _write_row(figure: Figure, axes: Axes, row: AucRow, place: int) -> None:
    box, rows = axes.get_position(), axes.get_ylim()[0] + 0.5
    middle = box.y1 - box.height * (place + 0.5) / rows
    weight = "normal" if row.kind == "site" else "bold"
    figure.text(_NAME / _WIDTH, middle, _shortened(row.name, _LONGEST_NAME), fontsize=9, va="center", weight=weight)
    if row.test is not None and row.test.scans:
        negatives, positives = row.test.participants_by_class
        figure.text(_COUNT / _WIDTH, middle, f"{positives} + {negatives}", fontsize=9, va="center")
    limits = row.estimates[0].limits if row.estimates[0] is not None else None
    text = "–" if limits is None else "{} [{}, {}]".format(*limits_text(limits))
    figure.text(_AUC / _WIDTH, middle, text, fontsize=9, va="center", ha="right", weight=weight)


def _draw_estimate(axes: Axes, estimate: Estimate, height: float, mark: Mark, face: str) -> None:
    if estimate.limits is None:
        _write_reason(axes, estimate, height, mark.colour)
        return
    value, low, high = estimate.limits
    axes.plot([low, high], [height, height], color=mark.colour, linewidth=1.5, zorder=2)
    axes.plot(value, height, marker=mark.marker, color=mark.colour, markerfacecolor=face, markersize=6.5, zorder=3)


def _write_reason(axes: Axes, estimate: Estimate | None, height: float, colour: str) -> None:
    if estimate is not None:
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        text = f"not defined: {estimate.undefined}"
        axes.text(axes.get_xlim()[0] + 0.01, height, text, color=colour, fontsize=7.5, va="center", bbox=box)


def _data(row: AucRow, method: str, estimate: Estimate) -> dict[str, Cell]:
    return {
        "row": row.name,
        "method": method,
        "auc": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "mark": estimate.mark,
        "undefined": estimate.undefined,
        "interval": estimate.method,
    }
