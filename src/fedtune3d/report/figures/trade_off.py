"""Test AUC against traffic."""

from collections.abc import Sequence

from matplotlib.ticker import FuncFormatter, NullFormatter

from fedtune3d.report.figures.drawing import BLACK, GREY, Drawing, Mark, new_figure, site_marks
from fedtune3d.report.number_formatting import size
from fedtune3d.report.study_contents import StudyContents
from fedtune3d.report.study_tables import cost_data, cost_rows

_STEP = 1.22


def draw_trade_off(contents: StudyContents) -> Drawing | None:
    """Draw the mean test AUC against the total traffic of a run; None before the first result."""
    shown = [entry for entry in cost_rows(contents) if entry.row.mean.values]
    if not shown:
        return None
    figure = new_figure(8.4, 1.2 + max(2.9, 0.27 * len(shown)))
    axes = figure.add_subplot()
    chosen = contents.answer.key if contents.answer else None
    marks = site_marks([entry.row.key for entry in shown])
    for entry, place in zip(shown, _side_by_side([entry.total_bytes for entry in shown]), strict=True):
        mark, estimate = marks[entry.row.key], entry.row.mean.estimate
        if entry.row.kind == "reference":
            mark = Mark(GREY, mark.marker, mark.line)
        assert estimate.limits is not None  # a row with values has an estimate
        value, low, high = estimate.limits
        axes.plot([place] * 2, [low, high], color=mark.colour, linewidth=1.1, linestyle=mark.line, alpha=0.8)
        axes.plot(
            place,
            value,
            marker=mark.marker,
            color=mark.colour,
            markersize=7.5,
            markerfacecolor=mark.colour if entry.row.kind == "variant" else "white",
            markeredgecolor=BLACK if entry.row.key == chosen else mark.colour,
            markeredgewidth=1.6 if entry.row.key == chosen else 1.0,
            linestyle="",
            label=f"{entry.title}, {size(entry.total_bytes)}{' (chosen)' if entry.row.key == chosen else ''}",
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: size(count).replace(".0 ", " ")))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(
        "Total traffic of all rounds and sites, both ways (log scale; similar values side by side)", fontsize=9
    )
    axes.set_ylabel("Test AUC, mean over sites, 95% CI", fontsize=9)
    axes.axhline(0.5, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.tick_params(labelsize=8)
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, fontsize=7.5)
    return Drawing(
        name="trade_off",
        title="AUC against traffic",
        description="Mean test AUC with its 95% CI against the total traffic of a run, for each combination; "
        "the efficiency table has the same numbers.",
        figure=figure,
        rows=cost_data(contents),
    )


def _side_by_side(totals: Sequence[float]) -> list[float]:
    """Return the position of each total on a logarithmic axis; totals within 10% of each other are spread out."""
    places = []
    for index, total in enumerate(totals):
        alike = [other for other, value in enumerate(totals) if abs(value / total - 1) < 0.1]
        places.append(total * _STEP ** (alike.index(index) - (len(alike) - 1) / 2))
    return places
