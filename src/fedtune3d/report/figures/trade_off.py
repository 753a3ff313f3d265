"""What a better AUC costs in traffic."""

from collections.abc import Sequence

from matplotlib.ticker import FuncFormatter, NullFormatter

from fedtune3d.report.figures.drawing import BLACK, GREY, Drawing, Mark, new_figure, site_marks
from fedtune3d.report.number_formatting import size
from fedtune3d.report.study_contents import StudyContents
from fedtune3d.report.study_tables import cost_data, cost_rows

_STEP = 1.22


def draw_trade_off(contents: StudyContents) -> Drawing | None:
    """Mean test AUC against all the traffic of a run; None before the first result."""
    found = [one for one in cost_rows(contents) if one.row.mean.values]
    if not found:
        return None
    figure = new_figure(8.4, 1.2 + max(2.9, 0.27 * len(found)))
    axes = figure.add_subplot()
    chosen = contents.answer.key if contents.answer else None
    marks = site_marks([one.row.key for one in found])
    for one, place in zip(found, _side_by_side([one.total_bytes for one in found]), strict=True):
        mark, estimate = marks[one.row.key], one.row.mean.estimate
        if one.row.kind == "reference":
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
            markerfacecolor=mark.colour if one.row.kind == "variant" else "white",
            markeredgecolor=BLACK if one.row.key == chosen else mark.colour,
            markeredgewidth=1.6 if one.row.key == chosen else 1.0,
            linestyle="",
            label=f"{one.title}, {size(one.total_bytes)}{' (chosen)' if one.row.key == chosen else ''}",
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: size(count).replace(".0 ", " ")))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("Traffic of all rounds and sites, both ways (logarithmic; alike ones side by side)", fontsize=9)
    axes.set_ylabel("Test AUC, mean over sites, 95 % interval", fontsize=9)
    axes.axhline(0.5, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.tick_params(labelsize=8)
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, fontsize=7.5)
    return Drawing(
        name="trade_off",
        title="AUC against traffic",
        description="Mean test AUC with its 95 % interval against the traffic of a whole run, for each combination; "
        "the efficiency table holds the same numbers.",
        figure=figure,
        rows=cost_data(contents),
    )


def _side_by_side(totals: Sequence[float]) -> list[float]:
    """Where to draw each total on a logarithmic axis, those within a tenth of another beside it."""
    places = []
    for index, total in enumerate(totals):
        alike = [other for other, value in enumerate(totals) if abs(value / total - 1) < 0.1]
        places.append(total * _STEP ** (alike.index(index) - (len(alike) - 1) / 2))
    return places
