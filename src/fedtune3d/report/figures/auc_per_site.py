"""AUC per site with intervals, the methods beside one another."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from fedtune3d.report.figures.drawing import BLACK, GREY, METHOD_MARKS, Drawing, Mark, new_figure
from fedtune3d.report.table import AucRow, auc_rows, shown_methods
from fedtune3d.report.words import METHODS, interval

_SLOT = 0.22  # between two methods of a row, where rows are 1 apart


def draw_auc_per_site(metrics: Mapping[str, Any]) -> Drawing:
    """A row a site, then mean and pooled; a hollow mark rests on few people; a missing number is said in its place."""
    methods, rows = shown_methods(metrics), auc_rows(metrics)
    data = [
        _data(row, method, estimate)
        for row in rows
        for method, estimate in zip(methods, row.estimates, strict=True)
        if estimate is not None
    ]
    figure = new_figure(7.2, 1.3 + (0.3 + 0.085 * len(methods)) * len(rows))
    axes = figure.add_subplot()
    left = min([0.45, *(entry["low"] - 0.03 for entry in data if entry["low"] is not None)])
    axes.set_xlim(max(-0.02, left), 1.02)
    for height, row in enumerate(rows):
        if _all_undefined_alike(row):
            _write_undefined(axes, row.estimates[0], height, BLACK)
            continue
        for slot, (method, estimate) in enumerate(zip(methods, row.estimates, strict=True)):
            if estimate is not None:
                offset = (slot - (len(methods) - 1) / 2) * _SLOT
                _draw(axes, estimate, height + offset, METHOD_MARKS[method])
    _label(axes, rows)
    figure.legend(handles=_legend(methods, data), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return Drawing(
        name="auc_per_site",
        title="Test AUC per site",
        description="Test AUC with 95 % intervals per site, "
        + ", ".join(METHODS[name].lower() for name in methods)
        + " side by side; the table holds the same numbers.",
        figure=figure,
        rows=data,
    )


def _data(row: AucRow, method: str, estimate: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "row": row.name,
        "method": method,
        "auc": estimate["value"],
        "low": estimate["low"],
        "high": estimate["high"],
        "mark": estimate["mark"],
        "undefined": estimate["undefined"],
        "interval": estimate["method"],
    }


def _draw(axes: Axes, estimate: Mapping[str, Any], height: float, mark: Mark) -> None:
    if estimate["value"] is None:
        _write_undefined(axes, estimate, height, mark.colour)
        return
    axes.plot([estimate["low"], estimate["high"]], [height, height], color=mark.colour, linewidth=1.6, zorder=2)
    axes.plot(
        estimate["value"],
        height,
        marker=mark.marker,
        color=mark.colour,
        markerfacecolor="white" if estimate["mark"] else mark.colour,
        markersize=6.5,
        zorder=3,
    )


def _all_undefined_alike(row: AucRow) -> bool:
    reasons = {estimate["undefined"] if estimate else None for estimate in row.estimates}
    return len(reasons) == 1 and None not in reasons


def _write_undefined(axes: Axes, estimate: Mapping[str, Any] | None, height: float, colour: str) -> None:
    if estimate is not None:
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(
            axes.get_xlim()[0] + 0.01, height, interval(estimate), color=colour, fontsize=7, va="center", bbox=box
        )


def _label(axes: Axes, rows: Sequence[AucRow]) -> None:
    sites = sum(row.kind == "site" for row in rows)
    axes.axvline(0.5, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.axhline(sites - 0.5, color=GREY, linewidth=0.7)
    axes.set_yticks(range(len(rows)), [_row_label(row) for row in rows], fontsize=9)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Test AUC, 95 % interval (dashed: chance)", fontsize=9)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _row_label(row: AucRow) -> str:
    if row.people is None:
        return row.name
    scans, positives = row.people["scans"], row.people["positives"]
    return f"{row.name}\n{scans} scans, {positives} positive"


def _legend(methods: Sequence[str], data: Sequence[Mapping[str, Any]]) -> list[Line2D]:
    handles = [
        Line2D([], [], color=mark.colour, marker=mark.marker, markersize=6.5, label=METHODS[name])
        for name, mark in METHOD_MARKS.items()
        if name in methods
    ]
    if any(entry["mark"] for entry in data):
        label = "hollow: few people"
        handles.append(
            Line2D([], [], color=BLACK, marker="o", markerfacecolor="white", markersize=6.5, linestyle="", label=label)
        )
    return handles
