"""Errors of predicted numbers against the true number."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from fedtune3d.evaluation.regression.corrected_gap import TrendCorrection
from fedtune3d.evaluation.regression.metrics import NumberMetrics, Points
from fedtune3d.evaluation.regression.residual_bins import ResidualBin
from fedtune3d.report.figures.drawing import BLACK, BLUE, Cell, Drawing, new_figure
from fedtune3d.report.figures.predicted_numbers import with_unit


def draw_residuals(metrics: NumberMetrics, target: str, unit: str) -> Drawing | None:
    """Draw the mean error by range of the true number, below the errors of single scans where these are shared.

    None without test scans, or if each site has its own model. Arguments as `draw_predicted_numbers`.
    """
    pooled = metrics.pooled
    if pooled is None or not pooled.residuals:
        return None
    correction = next(iter(metrics.corrections.values()), None)
    line = "The dashed line was fitted to the validation scans; the corrected gap is what deviates from it."
    if correction is None or correction.is_flat:
        correction, line = None, "No line is drawn, as none was fitted or its slope is near 0 (its 95% CI reaches 0)."
    return Drawing(
        name="residuals",
        title=f"Errors by true {target}, federated",
        description=f"Predicted minus true {target} of all test scans: mean ± one standard deviation by range of the "
        f"true number. {line}",
        figure=residual_figure(pooled.residuals, target, unit, pooled.points, correction),
        rows=residual_rows(pooled.residuals),
    )


def residual_figure(
    bins: Sequence[ResidualBin],
    target: str,
    unit: str,
    points: Points | None = None,
    correction: TrendCorrection | None = None,
) -> Figure:
    """Draw the errors of ranges, at least one, below those of single scans, and the line of a correction, if given."""
    figure = new_figure(6.6, 4.2)
    axes = figure.add_subplot()
    axes.axhline(0, color=BLACK, linewidth=0.9)
    if points is not None:
        errors = [p - y for y, p in zip(points.truth, points.predicted, strict=True)]
        axes.plot(points.truth, errors, "o", color=BLACK, markersize=3, alpha=0.8, label="scans", zorder=4)
    truth = [own.mean_truth for own in bins]
    axes.errorbar(
        truth,
        [own.mean_error for own in bins],
        yerr=[own.deviation for own in bins],
        color=BLUE,
        marker="o",
        markersize=8,
        markerfacecolor="white",
        linewidth=1.1,
        elinewidth=1.1,
        label="mean ± one standard deviation",
        zorder=2,
    )
    if correction is not None:
        ends = [truth[0], truth[-1]]
        fitted = [correction.intercept + (correction.slope - 1) * end for end in ends]
        axes.plot(ends, fitted, color=BLACK, linewidth=1.4, linestyle=(0, (4, 3)), label="line of validation scans")
    axes.set_xlabel(with_unit(f"True {target}", unit), fontsize=9)
    axes.set_ylabel(with_unit("Predicted minus true", unit), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return figure


def residual_rows(bins: Sequence[ResidualBin]) -> list[dict[str, Cell]]:
    """Return the errors of ranges as tabular data."""
    return [
        {
            "people": own.people,
            "scans": own.scans,
            "mean_true": own.mean_truth,
            "mean_error": own.mean_error,
            "standard_deviation": own.deviation,
        }
        for own in bins
    ]
