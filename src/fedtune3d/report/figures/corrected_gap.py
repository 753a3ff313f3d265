"""The gap corrected for regression to the mean, per site."""

from fedtune3d.evaluation.regression.corrected_gap import FLAT, CorrectedGap
from fedtune3d.evaluation.regression.metrics import NumberMetrics
from fedtune3d.report.figures.drawing import BLACK, BLUE, GREY, Cell, Drawing, new_figure
from fedtune3d.report.figures.predicted_numbers import with_unit
from fedtune3d.report.number_formatting import interval


def draw_corrected_gap(metrics: NumberMetrics, target: str, unit: str) -> Drawing | None:
    """Draw each site's mean corrected gap with its 95% CI and one standard deviation; None without a correction.

    Arguments as `draw_predicted_numbers`.
    """
    gaps = {name: part.gap for name, part in metrics.parts.items() if part.gap is not None and part.scans}
    if all(gap.mean.undefined == FLAT for gap in gaps.values()):
        return None
    figure = new_figure(6.6, 1.2 + 0.34 * len(gaps))
    axes = figure.add_subplot()
    axes.axvline(0, color=BLACK, linewidth=0.9)
    for height, gap in enumerate(gaps.values()):
        if gap.mean.limits is None:
            axes.text(0, height, f" {interval(gap.mean)}", fontsize=7, va="center", color=GREY)
            continue
        value, low, high = gap.mean.limits
        if gap.deviation is not None:
            spread = [value - gap.deviation, value + gap.deviation]
            axes.plot(spread, [height] * 2, color="#c9dcea", linewidth=7, solid_capstyle="butt", zorder=1)
        axes.plot([low, high], [height] * 2, color=BLUE, linewidth=1.6, zorder=2)
        face = "white" if gap.mean.mark else BLUE
        axes.plot(value, height, "o", color=BLUE, markerfacecolor=face, markersize=6.5, zorder=3)
    people = {name: metrics.parts[name].participants for name in gaps}
    axes.set_yticks(range(len(gaps)), [f"{name}, n = {people[name]}" for name in gaps], fontsize=9)
    axes.set_ylim(len(gaps) - 0.5, -0.5)
    axes.set_xlabel(with_unit(f"Corrected gap in {target}: mean, 95% CI, band of one SD", unit), fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return Drawing(
        name="corrected_gap",
        title=f"Gap between predicted and true {target}, corrected for regression to the mean",
        description=f"Predicted minus true {target} after the line of the validation scans is subtracted: mean with "
        "95% CI and a band of one standard deviation, per site and of all sites; hollow: few people. n: people.",
        figure=figure,
        rows=[_row(name, gap) for name, gap in gaps.items()],
    )


def _row(name: str, gap: CorrectedGap) -> dict[str, Cell]:
    return {
        "part": name,
        "mean": gap.mean.value,
        "low": gap.mean.low,
        "high": gap.mean.high,
        "standard_deviation": gap.deviation,
        "correlation_before": gap.trend_before.value,
        "correlation_after": gap.trend_after.value,
        "undefined": gap.mean.undefined,
    }
