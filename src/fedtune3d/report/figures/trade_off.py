"""The main measure of test scans against traffic."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation, Transform

from fedtune3d.report.figures.drawing import BLACK, GREY, Drawing, Mark, new_figure, site_marks
from fedtune3d.report.number_formatting import size
from fedtune3d.report.shown_measure import ShownMeasure
from fedtune3d.report.study_contents import StudyContents
from fedtune3d.report.study_tables import CostRow, cost_data, cost_rows

_ALIKE = 1.1
"""Totals of this ratio or less are drawn next to each other."""
_APART_POINTS = 4.0
_WIDE = 1000.0
"""Ratio of the largest total to the smallest above which only powers of ten are labelled."""


def draw_trade_off(contents: StudyContents) -> Drawing | None:
    """Draw the main measure, mean over sites, against the total traffic of a run; None before the first result.

    Each mark stands at its true traffic; similar ones are moved apart on the page, by a few points.
    """
    shown = [entry for entry in cost_rows(contents) if entry.row.mean.values]
    if not shown:
        return None
    figure = new_figure(8.4, 3.7 + 0.18 * len(shown))
    axes = figure.add_subplot()
    axes.set_xscale("log")
    totals = [entry.total_bytes for entry in shown]
    chosen = contents.answer.key if contents.answer else None
    marks = site_marks([entry.row.key for entry in shown])
    for entry, points in zip(shown, offsets(totals), strict=True):
        mark = marks[entry.row.key]
        if entry.row.kind == "reference":
            mark = Mark(GREY, mark.marker, mark.line)
        moved = axes.transData + ScaledTranslation(points / 72, 0, figure.dpi_scale_trans)
        _draw_entry(axes, entry, mark, entry.row.key == chosen, moved)
    _style(
        axes,
        contents.measure,
        totals,
        [limit for entry in shown for limit in (entry.row.mean.estimate.limits or ())[1:]],
    )
    figure.legend(loc="outside lower center", frameon=False, fontsize=8)
    return Drawing(
        name="trade_off",
        title=f"Test {contents.measure.name}, mean over sites, with 95% CI against the total traffic of a run",
        description=f"Mean test {contents.measure.name} with its 95% CI against the total traffic of a run, of all "
        "rounds and sites both ways, for each combination. Marks of similar traffic are moved apart on the page; the "
        "efficiency table has the same numbers.",
        figure=figure,
        rows=cost_data(contents),
    )


def _draw_entry(axes: Axes, entry: CostRow, mark: Mark, chosen: bool, moved: Transform) -> None:
    estimate = entry.row.mean.estimate
    assert estimate.limits is not None  # a row with values has an estimate
    value, low, high = estimate.limits
    axes.plot(
        [entry.total_bytes] * 2,
        [low, high],
        color=mark.colour,
        linewidth=1.1,
        alpha=0.8,
        transform=moved,
    )
    axes.plot(
        entry.total_bytes,
        value,
        marker=mark.marker,
        color=mark.colour,
        markersize=7.5,
        markerfacecolor=mark.colour if entry.row.kind == "variant" else "white",
        markeredgecolor=BLACK if chosen else mark.colour,
        markeredgewidth=1.6 if chosen else 1.0,
        linestyle="",
        label=f"{entry.title}, {size(entry.total_bytes)}{' (selected)' if chosen else ''}",
        transform=moved,
    )


def _style(axes: Axes, measure: ShownMeasure, totals: Sequence[float], ends: Sequence[float]) -> None:
    axes.set_xlim(min(totals) / 2, max(totals) * 2)
    if measure.is_error:
        axes.set_ylim(0, 1.05 * max(ends))
    else:
        axes.set_ylim(min(0.48, *ends) - 0.02, 1.02)
    axes.xaxis.set_major_locator(LogLocator(subs=(1,) if max(totals) > _WIDE * min(totals) else (1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: size(count).replace(".0 ", " ")))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("Total traffic of a run (log scale; similar values drawn side by side)", fontsize=9)
    axes.set_ylabel(f"Test {measure.head}, mean over sites, 95% CI", fontsize=9)
    if measure.reference is not None:
        axes.axhline(measure.reference, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.tick_params(labelsize=8)
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def offsets(totals: Sequence[float]) -> list[float]:
    """Return by how many points each mark is moved to the right of its total, so that similar ones do not overlap.

    Totals are similar if each is at most 10% above the next smaller one.
    """
    order = sorted(range(len(totals)), key=lambda index: (totals[index], index))
    groups: list[list[int]] = []
    for index in order:
        if groups and totals[index] <= _ALIKE * totals[groups[-1][-1]]:
            groups[-1].append(index)
        else:
            groups.append([index])
    moved = [0.0] * len(totals)
    for group in groups:
        for place, index in enumerate(sorted(group)):
            moved[index] = _APART_POINTS * (place - (len(group) - 1) / 2)
    return moved
