"""What a better AUC costs in traffic."""

from matplotlib.ticker import FuncFormatter, NullFormatter

from fedtune3d.report.figures.drawing import BLACK, GREY, Drawing, Mark, new_figure, site_marks
from fedtune3d.report.study_contents import StudyContents
from fedtune3d.report.study_tables import cost_data, cost_rows
from fedtune3d.report.words import size


def draw_trade_off(contents: StudyContents) -> Drawing | None:
    """Mean test AUC against all the traffic of a run; None before the first result."""
    found = [one for one in cost_rows(contents) if one.row.mean.values]
    if not found:
        return None
    figure = new_figure(8.4, 1.2 + max(2.9, 0.27 * len(found)))
    axes = figure.add_subplot()
    marks = site_marks([one.row.key for one in found])
    for one in found:
        mark, estimate, cost = marks[one.row.key], one.row.mean.estimate, one.row.cost
        assert cost is not None
        if one.row.kind == "reference":
            mark = Mark(GREY, mark.marker, mark.line)
        ends = [estimate["low"], estimate["high"]]
        axes.plot([cost.total_bytes] * 2, ends, color=mark.colour, linewidth=1.1, linestyle=mark.line, alpha=0.8)
        axes.plot(
            cost.total_bytes,
            estimate["value"],
            marker=mark.marker,
            color=mark.colour,
            markersize=7.5,
            markerfacecolor=mark.colour if one.row.kind == "variant" else "white",
            markeredgecolor=BLACK if one.row.chosen else mark.colour,
            linestyle="",
            label=f"{one.title}, {size(cost.total_bytes)}",
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: size(count)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("Traffic of all rounds and sites, both ways (logarithmic)", fontsize=9)
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
