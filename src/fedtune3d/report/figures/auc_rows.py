"""AUCs, or another measure, with CIs in rows, several series next to each other: the figures of a study's stages."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.report.figures.drawing import BLACK, GREY, Mark, new_figure, row_wise
from fedtune3d.report.number_formatting import interval
from fedtune3d.report.shown_measure import AUC, ShownMeasure
from fedtune3d.report.table import AucRow

_SLOT = 0.22  # distance of two series in a row; rows are 1 apart


def draw_rows(
    rows: Sequence[AucRow], series: Mapping[str, Mark], unit: str = "seed", measure: ShownMeasure = AUC
) -> Figure:
    """Draw the estimate and CI of each series in each row; the estimates of a row are in the order of the series.

    The values of single seeds or folds, if a row has them, are drawn as dots on the CI. Hollow marks have few people;
    undefined values give the reason.

    Args:
        rows: The rows, from the top.
        series: Title of a series → its mark.
        unit: What the single values are: a ``seed`` or a ``fold`` each.
        measure: What is estimated.
    """
    estimates = [estimate for row in rows for estimate in row.estimates if estimate is not None]
    by_seed = [value for row in rows for values in row.by_seed for value in values]
    slot = min(_SLOT, 0.8 / len(series))
    row_inches = 0.3 + 0.085 * min(3, len(series)) + 0.13 * max(0, len(series) - 3)
    figure = new_figure(7.2, 1.3 + row_inches * len(rows))
    axes = figure.add_subplot()
    axes.set_xlim(*_extent(estimates, by_seed, measure))
    for height, row in enumerate(rows):
        if _all_undefined_alike(row):
            _write_undefined(axes, row.estimates[0], height, BLACK)
            continue
        for index, (mark, estimate) in enumerate(zip(series.values(), row.estimates, strict=True)):
            if estimate is not None:
                seeds = row.by_seed[index] if row.by_seed else ()
                _draw(axes, estimate, seeds, height + (index - (len(series) - 1) / 2) * slot, mark)
    _label(axes, rows, measure)
    handles = _legend(series, estimates, f"each {unit}" if by_seed else None)
    columns = min(4 if max(len(title) for title in series) < 25 else 2, len(handles))
    figure.legend(
        handles=row_wise(handles, columns), loc="outside lower center", ncols=columns, frameon=False, fontsize=8
    )
    return figure


def _extent(estimates: Sequence[Estimate], values: Sequence[float], measure: ShownMeasure) -> tuple[float, float]:
    """The ends of the axis: up to 1, or of an error from 0, with everything that is drawn."""
    lowest = [estimate.low for estimate in estimates if estimate.low is not None] + list(values)
    if not measure.is_error:
        least = -math.inf if measure.reference == 0 else -0.02
        return max(least, min([(measure.reference or 0.0) - 0.05, *(value - 0.03 for value in lowest)])), 1.02
    highest = [estimate.high for estimate in estimates if estimate.high is not None] + list(values)
    return 0.0, 1.05 * max(highest, default=1.0)


def _draw(axes: Axes, estimate: Estimate, seeds: Sequence[float], height: float, mark: Mark) -> None:
    if estimate.limits is None:
        _write_undefined(axes, estimate, height, mark.colour)
        return
    value, low, high = estimate.limits
    axes.plot([low, high], [height, height], color=mark.colour, linewidth=1.6, zorder=2)
    axes.plot(seeds, [height] * len(seeds), ".", color=BLACK, markersize=4, zorder=4)
    axes.plot(
        value,
        height,
        marker=mark.marker,
        color=mark.colour,
        markerfacecolor="white" if estimate.mark else mark.colour,
        markersize=6.5,
        zorder=3,
    )


def _all_undefined_alike(row: AucRow) -> bool:
    reasons = {estimate.undefined if estimate else None for estimate in row.estimates}
    return len(reasons) == 1 and None not in reasons


def _write_undefined(axes: Axes, estimate: Estimate | None, height: float, colour: str) -> None:
    if estimate is not None:
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        left, right = axes.get_xlim()
        place = left + 0.01 * (right if right > 2 else 1)
        axes.text(place, height, interval(estimate), color=colour, fontsize=7, va="center", bbox=box)


def _label(axes: Axes, rows: Sequence[AucRow], measure: ShownMeasure) -> None:
    sites = sum(row.kind == "site" for row in rows)
    if measure.reference is not None:
        axes.axvline(measure.reference, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.axhline(sites - 0.5, color=GREY, linewidth=0.7)
    axes.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=9)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    dashed = f" (dashed: {measure.reference_name})" if measure.reference_name else ""
    axes.set_xlabel(f"Test {measure.head}, 95% CI{dashed}", fontsize=9)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _legend(series: Mapping[str, Mark], estimates: Sequence[Estimate], dots: str | None) -> list[Line2D]:
    handles = [
        Line2D([], [], color=mark.colour, marker=mark.marker, markersize=6.5, label=title)
        for title, mark in series.items()
    ]
    if any(estimate.mark for estimate in estimates):
        label = "hollow: few people"
        handles.append(
            Line2D([], [], color=BLACK, marker="o", markerfacecolor="white", markersize=6.5, linestyle="", label=label)
        )
    if dots is not None:
        handles.append(Line2D([], [], color=BLACK, marker=".", markersize=4, linestyle="", label=dots))
    return handles
