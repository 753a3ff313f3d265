"""Paired differences of AUC with their intervals."""

from collections.abc import Sequence

from fedtune3d.report.figures.drawing import BLACK, BLUE, GREY, Drawing, new_figure
from fedtune3d.report.number_formatting import p_value
from fedtune3d.report.shown_measure import AUC, ShownMeasure
from fedtune3d.report.study_tables import TITLES, PairedRow, paired_data
from fedtune3d.report.ties import tie


def draw_forest(rows: Sequence[PairedRow], measure: ShownMeasure = AUC) -> Drawing | None:
    """Draw each variant minus the chosen one over all seeds, with single seeds as dots; None without variants.

    Args:
        rows: The differences.
        measure: Of what they are differences.
    """
    shown = [row for row in rows if row.seed == rows[0].seed]
    if not shown:
        return None
    figure = new_figure(8.4, 1.3 + 0.31 * len(shown))
    axes = figure.add_subplot()
    for height, row in enumerate(shown):
        of_seeds = [other.comparison.difference.value for other in rows if _same(row, other)]
        dots = [value for value in of_seeds if value is not None]
        axes.plot(
            dots, [height + 0.24] * len(dots), "o", color=BLACK, markerfacecolor="white", markersize=3.5, zorder=3
        )
        difference = row.comparison.difference
        if difference.limits is None:
            reason = f"tie: {alike}" if (alike := tie(difference)) else f"{difference.undefined}"
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            axes.text(0, height, reason, fontsize=7, ha="center", va="center", color=GREY, bbox=box)
            continue
        value, low, high = difference.limits
        axes.plot([low, high], [height, height], color=BLUE, linewidth=1.6)
        face = "white" if difference.mark else BLUE
        axes.plot(value, height, "o", color=BLUE, markerfacecolor=face, markersize=6)
    axes.axvline(0, color=BLACK, linewidth=0.9)
    axes.set_yticks(range(len(shown)), [f"{row.title} − {row.chosen}" for row in shown], fontsize=8)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    for height in range(1, len(shown)):
        if shown[height].stage != shown[height - 1].stage:
            axes.axhline(height - 0.5, color=GREY, linewidth=0.7)
    limit = max(0.05, *(abs(bound) for bound in _bounds(rows))) * 1.08
    axes.set_xlim(-limit, limit)
    left = "better" if measure.is_error else "worse"
    axes.set_xlabel(
        f"Difference of test {measure.head}, mean over sites, 95% CI (left: {left} than the selected)", fontsize=9
    )
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(shown)), [_p(row.adjusted) for row in shown], fontsize=8)
    right.tick_params(length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    right.spines["right"].set_visible(False)
    stages = ", ".join(dict.fromkeys(TITLES[row.stage].lower() for row in shown))
    return Drawing(
        name="paired_differences",
        title=f"Paired differences from the selected combination, {_which(shown[0].seed)} (p adjusted by Holm)",
        description=f"For {stages}: the test {measure.name} of each variant minus that of the selected one on the same "
        f"scans, with 95% CIs {_how(measure)} and p-values adjusted by Holm; small dots are single seeds.",
        figure=figure,
        rows=paired_data(list(rows)),
    )


def _same(row: PairedRow, other: PairedRow) -> bool:
    """Return whether `other` is the single-seed version of the all-seeds difference `row`."""
    same = (row.stage, row.title, row.chosen) == (other.stage, other.title, other.chosen)
    return same and row.seed is None and other.seed is not None


def _how(measure: ShownMeasure) -> str:
    return "by DeLong's or Obuchowski's method" if measure == AUC else "with people as clusters"


def _which(seed: int | None) -> str:
    return "all seeds" if seed is None else f"seed {seed}"


def _bounds(rows: Sequence[PairedRow]) -> list[float]:
    """Return every value, and the limits of the differences that are drawn with an interval."""
    values = [row.comparison.difference.value for row in rows]
    limits = [row.comparison.difference.limits for row in rows if row.seed == rows[0].seed]
    found = [bound for pair in limits if pair is not None for bound in pair[1:]]
    return [*found, *(value for value in values if value is not None)] or [0.0]


def _p(value: float | None) -> str:
    text = p_value(value)
    return "" if value is None else f"p {text}" if text.startswith("<") else f"p = {text}"
