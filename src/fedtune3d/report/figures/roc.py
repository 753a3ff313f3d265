"""ROC curve of all test scans with its confidence band, and the sites' ROC curves."""

from collections.abc import Sequence

from fedtune3d.config.class_names import UNNAMED, ClassNames
from fedtune3d.evaluation.metrics import RunMetrics, TestMetrics
from fedtune3d.evaluation.roc import RocBand, RocCurve
from fedtune3d.report.figures.drawing import BLACK, GREY, Cell, Drawing, new_figure, site_marks
from fedtune3d.report.figures.learning_curves import MANY_SITES
from fedtune3d.report.figures.roc_axes import are_exact, finish_roc_axes, grid_mark
from fedtune3d.report.number_formatting import interval
from fedtune3d.report.sample_sizes import people_by_class


def draw_roc(metrics: RunMetrics, sites: Sequence[str], names: ClassNames = UNNAMED) -> Drawing | None:
    """Draw the federated model's ROC curve, pooled with a pointwise 95% band and per site; None if undefined."""
    tests, pooled = metrics.federated.sites, metrics.federated.pooled
    if pooled is None or pooled.roc is None:
        return None
    curve = pooled.roc
    band = " (grey: pointwise 95% band)" if curve.band else ""
    curves = {site: roc for site in sites if site in tests and (roc := tests[site].roc) is not None}
    many, marks = len(curves) > MANY_SITES, site_marks(sites)
    figure = new_figure(5.2, 5.4 + 0.17 * (0 if many else len(curves)))
    axes = figure.add_subplot()
    if curve.band:
        axes.fill_between(
            curve.band.false_positive_rate,
            curve.band.low,
            curve.band.high,
            step="post",
            color="#d0d0d0",
            linewidth=0,
            zorder=1,
        )
    for site, of_site in curves.items():
        axes.plot(
            of_site.false_positive_rate,
            of_site.sensitivity,
            zorder=2,
            color=GREY if many else marks[site].colour,
            linestyle="-" if many else marks[site].line,
            linewidth=0.6 if many else 1.1,
            label=None if many else _label(site, tests[site], of_site),
        )
    label = _label("all sites", pooled, curve)
    axes.plot(curve.false_positive_rate, curve.sensitivity, color=BLACK, linewidth=2.2, zorder=3, label=label)
    finish_roc_axes(figure, axes, "1 − specificity", "Sensitivity")
    return Drawing(
        name="roc",
        title=f"ROC curves of the federated model{band}; n: people, {names.both}",
        description=_description([curve, *curves.values()], names),
        figure=figure,
        rows=[
            *_rows("pooled", curve),
            *_band_rows(curve.band),
            *(row for site, of_site in curves.items() for row in _rows(site, of_site)),
        ],
    )


def _label(name: str, test: TestMetrics, curve: RocCurve) -> str:
    return f"{name}, n = {people_by_class(test)}, AUC {interval(test.auc)}{grid_mark(curve)}"


def _description(curves: Sequence[RocCurve], names: ClassNames) -> str:
    """Describe the curves, of which the first is that of all sites."""
    band = "with a pointwise 95% band" if curves[0].band else "without a band, as it has few people"
    exact = (
        "points are exact"
        if are_exact(curves)
        else ("curves named “on a grid” join the points of a grid of probabilities, as predictions stay at a site")
    )
    return (
        f"ROC curve of the federated model on all test scans, {band}, and of each site; {exact}; n: people, "
        f"{names.both}."
    )


def _rows(series: str, curve: RocCurve) -> list[dict[str, Cell]]:
    return [
        {
            "series": series,
            "source": curve.source,
            "false_positive_rate": rate,
            "sensitivity": sensitivity,
            "low": None,
            "high": None,
        }
        for rate, sensitivity in zip(curve.false_positive_rate, curve.sensitivity, strict=True)
    ]


def _band_rows(band: RocBand | None) -> list[dict[str, Cell]]:
    if band is None:
        return []
    return [
        {
            "series": "pooled, 95% band",
            "source": "bootstrap",
            "false_positive_rate": rate,
            "sensitivity": None,
            "low": low,
            "high": high,
        }
        for rate, low, high in zip(band.false_positive_rate, band.low, band.high, strict=True)
    ]
