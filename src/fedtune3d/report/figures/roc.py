"""ROC curve of all test scans with its confidence band, and the sites' ROC curves."""

from collections.abc import Sequence

from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.roc import RocCurve
from fedtune3d.report.figures.drawing import BLACK, GREY, Cell, Drawing, new_figure, site_marks
from fedtune3d.report.figures.learning_curves import MANY_SITES
from fedtune3d.report.number_formatting import interval


def draw_roc(metrics: RunMetrics, sites: Sequence[str]) -> Drawing | None:
    """Draw the federated model's ROC curve, pooled with a pointwise 95% band and per site; None if undefined."""
    tests, pooled = metrics.federated.sites, metrics.federated.pooled
    if pooled is None or pooled.roc is None:
        return None
    figure = new_figure(5.2, 5.6)
    axes = figure.add_subplot()
    curve = pooled.roc
    rates = curve.false_positive_rate
    if curve.low:
        axes.fill_between(rates, curve.low, curve.high, step="post", color="#d0d0d0", linewidth=0, zorder=1)
    curves = {site: roc for site in sites if site in tests and (roc := tests[site].roc) is not None}
    marks = site_marks(sites)
    for site, of_site in curves.items():
        many, mark = len(curves) > MANY_SITES, marks[site]
        axes.step(
            rates,
            of_site.sensitivity,
            where="post",
            zorder=2,
            color=GREY if many else mark.colour,
            linestyle="-" if many else mark.line,
            linewidth=0.6 if many else 1.1,
            label=None if many else site,
        )
    label = f"all sites, AUC {interval(pooled.auc)}"
    axes.step(rates, curve.sensitivity, where="post", color=BLACK, linewidth=2.2, zorder=3, label=label)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.set_aspect("equal")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_xlabel("1 − specificity", fontsize=9)
    axes.set_ylabel("Sensitivity", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    band = "with a pointwise 95% band" if curve.low else "without a band, as it has few people"
    return Drawing(
        name="roc",
        title="ROC curve, federated",
        description=f"ROC curve of the federated model on all test scans, {band}, and of each site.",
        figure=figure,
        rows=[*_rows("pooled", curve), *(row for site, of_site in curves.items() for row in _rows(site, of_site))],
    )


def _rows(series: str, curve: RocCurve) -> list[dict[str, Cell]]:
    return [
        {
            "series": series,
            "false_positive_rate": rate,
            "sensitivity": curve.sensitivity[index],
            "low": curve.low[index] if curve.low else None,
            "high": curve.high[index] if curve.high else None,
        }
        for index, rate in enumerate(curve.false_positive_rate)
    ]
