"""Errors of predicted numbers against the true number."""

from collections.abc import Sequence

from fedtune3d.evaluation.regression.metrics import NumberMetrics
from fedtune3d.evaluation.regression.residual_bins import ResidualBin
from fedtune3d.report.figures.drawing import BLACK, BLUE, GREY, Cell, Drawing, new_figure
from fedtune3d.report.figures.predicted_numbers import with_unit


def draw_residuals(metrics: NumberMetrics, target: str, unit: str) -> Drawing | None:
    """Draw the mean error by range of the true number, over the errors of single scans where these are shared.

    None without test scans, or if each site has its own model. Arguments as `draw_predicted_numbers`.
    """
    pooled = metrics.pooled
    if pooled is None or not pooled.residuals:
        return None
    figure = new_figure(6.6, 4.2)
    axes = figure.add_subplot()
    axes.axhline(0, color=BLACK, linewidth=0.9)
    if pooled.points is not None:
        errors = [p - y for y, p in zip(pooled.points.truth, pooled.points.predicted, strict=True)]
        axes.plot(pooled.points.truth, errors, ".", color=GREY, markersize=3, alpha=0.7, label="scans", zorder=1)
    truth = [own.mean_truth for own in pooled.residuals]
    axes.errorbar(
        truth,
        [own.mean_error for own in pooled.residuals],
        yerr=[own.deviation for own in pooled.residuals],
        color=BLUE,
        marker="o",
        markersize=5,
        linewidth=1.4,
        elinewidth=0.9,
        label="mean ± one standard deviation",
        zorder=2,
    )
    correction = next(iter(metrics.corrections.values()), None)
    if correction is not None:
        ends = [truth[0], truth[-1]]
        fitted = [correction.intercept + (correction.slope - 1) * end for end in ends]
        axes.plot(ends, fitted, color=BLACK, linewidth=1.4, linestyle=(0, (4, 3)), label="line of validation scans")
    axes.set_xlabel(with_unit(f"True {target}", unit), fontsize=9)
    axes.set_ylabel(with_unit("Predicted minus true", unit), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return Drawing(
        name="residuals",
        title=f"Errors by true {target}, federated",
        description=f"Predicted minus true {target} of all test scans: mean ± one standard deviation by range of the "
        "true number. The dashed line was fitted to the validation scans; the corrected gap is what deviates from it.",
        figure=figure,
        rows=_rows(pooled.residuals),
    )


def _rows(bins: Sequence[ResidualBin]) -> list[dict[str, Cell]]:
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
