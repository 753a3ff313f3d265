"""Calibration curve and decision curve."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from fedtune3d.config.class_names import UNNAMED, ClassNames, of_class
from fedtune3d.evaluation.decision_curve import DecisionPoint
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.reliability import CurvePoint
from fedtune3d.report.figures.drawing import BLACK, BLUE, GREY, VERMILION, Cell, Drawing, new_figure
from fedtune3d.report.number_formatting import plural


def draw_calibration(metrics: RunMetrics, names: ClassNames = UNNAMED) -> Drawing | None:
    """Draw the calibration curve and decision curve of the federated model on all test scans; None without scans."""
    pooled = metrics.federated.pooled
    if pooled is None or not pooled.calibration_curve:
        return None
    by_class = f"{of_class(pooled.positives, names.positive)}, {of_class(pooled.negatives, names.negative)}"
    tested = f"{plural(pooled.scans, 'test scan')} ({by_class})"
    points, decisions = pooled.calibration_curve, pooled.decision_curve
    figure = new_figure(9.2, 3.1)
    parts = figure.subplot_mosaic([["curve", "worth"], ["count", "worth"]], height_ratios=(4, 1))
    _draw_curve(parts["curve"], points, names)
    _draw_counts(parts["count"], points, names)
    _draw_worth(parts["worth"], decisions)
    for axes in parts.values():
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return Drawing(
        name="calibration",
        title=f"Calibration (left) and net benefit (right), federated, 95% CIs; {tested}",
        description=f"Left: proportion of {names.positive} among test scans against the mean probability in ten bins, "
        "with 95% CIs, and the scans in each bin. Right: net benefit of deciding by the model, of treating all and of "
        "treating none.",
        figure=figure,
        rows=[*_curve_rows(points), *_worth_rows(decisions)],
    )


def _draw_curve(axes: Axes, points: Sequence[CurvePoint], names: ClassNames) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), label="perfect")
    for point in points:
        if point.observed.limits is not None:
            axes.plot([point.mean_probability] * 2, point.observed.limits[1:], color=BLUE, linewidth=1.4)
    axes.plot(
        [point.mean_probability for point in points],
        [_or_nan(point.observed.value) for point in points],
        color=BLUE,
        marker="o",
        markersize=5,
        linewidth=0.8,
        label="model, 95% CI",
    )
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_ylabel(f"Proportion of {names.positive}", fontsize=9)
    axes.set_title("Calibration", fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2)
    axes.tick_params(labelbottom=False)


def _draw_counts(axes: Axes, points: Sequence[CurvePoint], names: ClassNames) -> None:
    middles = [(point.low_edge + point.high_edge) / 2 for point in points]
    axes.bar(middles, [point.scans for point in points], width=0.09, color=GREY)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel(f"Predicted probability of {names.positive}", fontsize=9)
    axes.set_ylabel("Scans", fontsize=9)


def _draw_worth(axes: Axes, decisions: Sequence[DecisionPoint]) -> None:
    thresholds = [point.threshold for point in decisions]
    benefits = [point.net_benefit for point in decisions]
    lows, highs = [_or_nan(benefit.low) for benefit in benefits], [_or_nan(benefit.high) for benefit in benefits]
    axes.fill_between(thresholds, lows, highs, color=BLUE, alpha=0.18, linewidth=0)
    values = [_or_nan(benefit.value) for benefit in benefits]
    axes.plot(thresholds, values, color=BLUE, linewidth=2, label="model, 95% CI")
    everyone = [point.treat_all for point in decisions]
    axes.plot(thresholds, everyone, color=VERMILION, linewidth=1.3, linestyle=(0, (5, 2)), label="treat all")
    axes.axhline(0, color=BLACK, linewidth=1, linestyle=(0, (1, 1.2)), label="treat none")
    top = max([*highs, *everyone, 0.05])
    axes.set(xlim=(0, 1), ylim=(-0.35 * top, 1.05 * top))
    axes.set_xlabel("Threshold probability", fontsize=9)
    axes.set_ylabel("Net benefit per scan", fontsize=9)
    axes.set_title("Net benefit", fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=8, loc="upper right")


def _curve_rows(points: Sequence[CurvePoint]) -> list[dict[str, Cell]]:
    return [
        {
            "panel": "calibration",
            "x": point.mean_probability,
            "scans": point.scans,
            **_limits(point.observed),
            "treat_all": None,
        }
        for point in points
    ]


def _worth_rows(decisions: Sequence[DecisionPoint]) -> list[dict[str, Cell]]:
    return [
        {
            "panel": "net benefit",
            "x": point.threshold,
            "scans": None,
            **_limits(point.net_benefit),
            "treat_all": point.treat_all,
        }
        for point in decisions
    ]


def _limits(estimate: Estimate) -> dict[str, float | None]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
