"""Predicted against true numbers, with the line of perfect predictions and the calibration line."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from fedtune3d.evaluation.regression.metrics import NumberMetrics, NumberTestMetrics
from fedtune3d.report.figures.drawing import BLACK, GREY, Cell, Drawing, Mark, new_figure, site_marks
from fedtune3d.report.figures.learning_curves import MANY_SITES
from fedtune3d.report.number_formatting import interval
from fedtune3d.report.number_tables import why_no_line

_WIDTH, _HEIGHT = 10.4, 3.2  # inches
_LEFT, _PLOT = 0.65, 4.9  # inches to the left of the axes, and their width; the legend is to the right
_LONGEST_NAME = 24


def draw_predicted_numbers(metrics: NumberMetrics, target: str, unit: str) -> Drawing | None:
    """Draw the test scans of all sites; None without scans or if each site has its own model.

    Scans are points where predictions are shared; elsewhere, means by range of the true number with one standard
    deviation of the errors on either side.

    Args:
        metrics: The metrics of the federated model.
        target: What is predicted, such as ``age``.
        unit: Its unit, or an empty string.
    """
    if metrics.pooled is None or not metrics.pooled.scans:
        return None
    marks, many = site_marks(list(metrics.sites)), len(metrics.sites) > MANY_SITES
    height = max(_HEIGHT, 0.8 + 0.19 * (0 if many else len(metrics.sites)))
    figure = new_figure(_WIDTH, height)
    figure.set_layout_engine("none")
    axes = figure.add_axes((_LEFT / _WIDTH, 0.52 / height, _PLOT / _WIDTH, 1 - 0.78 / height))
    low, high = _extent(metrics)
    axes.plot([low, high], [low, high], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1, label="perfect")
    for site, part in metrics.sites.items():
        if part.scans:
            _draw_site(axes, part, Mark(GREY, ".") if many else marks[site], "" if many else _label(site, part))
    _draw_line(axes, metrics.pooled, (low, high))
    axes.set(xlim=(low, high), ylim=(low, high))
    axes.set_xlabel(with_unit(f"True {target}", unit), fontsize=9)
    axes.set_ylabel(with_unit(f"Predicted {target}", unit), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    title = f"MAE: mean absolute error{f' in {unit}' if unit else ''} [95% CI]"
    anchor = (_LEFT + _PLOT + 0.15) / _WIDTH, 1 - 0.22 / height
    figure.legend(loc="upper left", bbox_to_anchor=anchor, frameon=False, fontsize=8.5, title=title, alignment="left")
    figure.legends[0].get_title().set_fontsize(8.5)
    line = "black: the calibration line, the regression of the true on the predicted number"
    if not _is_drawn(metrics.pooled):
        why = why_no_line(metrics.pooled.measures).removeprefix("not shown: ")
        line = f"no calibration line: {why or 'its slope is near 0 (its 95% CI reaches 0)'}"
    return Drawing(
        name="predicted_numbers",
        title=f"Predicted against true {target}, federated",
        description=f"Predicted against true {target} of the test scans: {_what_is_shown(metrics)}, by site; dashed: "
        f"perfect predictions; {line}.",
        figure=figure,
        rows=_rows(metrics.sites),
    )


def with_unit(text: str, unit: str) -> str:
    """Return an axis label with its unit: `True age (years)`."""
    return f"{text} ({unit})" if unit else text


def _extent(metrics: NumberMetrics) -> tuple[float, float]:
    """The range of both axes: that of the target, and of predictions beyond it."""
    low, high = metrics.limits
    for part in metrics.sites.values():
        if part.points is not None and part.points.predicted:
            low, high = min(low, part.points.predicted[0]), max(high, part.points.predicted[-1])
    return low, high


def _draw_site(axes: Axes, part: NumberTestMetrics, mark: Mark, label: str) -> None:
    if part.points is not None:
        axes.plot(
            part.points.truth,
            part.points.predicted,
            linestyle="",
            marker=mark.marker,
            color=mark.colour,
            markersize=5,
            alpha=0.8,
            label=label or None,
        )
        return
    truth = [own.mean_truth for own in part.residuals]
    axes.errorbar(
        truth,
        [own.mean_truth + own.mean_error for own in part.residuals],
        yerr=[own.deviation for own in part.residuals],
        linestyle="",
        marker=mark.marker,
        color=mark.colour,
        markersize=5,
        linewidth=0.9,
        label=label or None,
    )


def _draw_line(axes: Axes, part: NumberTestMetrics, extent: tuple[float, float]) -> None:
    """Draw true = intercept + slope · predicted, over the range of the axes, if its slope is not near 0."""
    slope, intercept = part.measures.slope, part.measures.intercept
    if not _is_drawn(part) or slope.value is None or intercept.value is None:
        return
    predicted = np.array(extent)
    label = f"calibration, slope {interval(slope)}"
    axes.plot(intercept.value + slope.value * predicted, predicted, color=BLACK, linewidth=1.8, zorder=3, label=label)


def _is_drawn(part: NumberTestMetrics) -> bool:
    """Return whether the calibration line has a slope that is shown, with a 95% CI above 0."""
    limits = part.measures.slope.limits
    return limits is not None and limits[1] > 0 and not why_no_line(part.measures)


def _label(site: str, part: NumberTestMetrics) -> str:
    people = "1 person" if part.participants == 1 else f"{part.participants} people"
    name = site if len(site) <= _LONGEST_NAME else f"{site[: _LONGEST_NAME - 1]}…"
    return f"{name}, {people}, MAE {interval(part.measures.mae)}"


def _what_is_shown(metrics: NumberMetrics) -> str:
    shared = [part.points is not None for part in metrics.sites.values() if part.scans]
    means = "means by range of the true number ± one standard deviation of the errors"
    if all(shared):
        return "one point per scan"
    return means if not any(shared) else f"one point per scan, or {means} where predictions stay at the site"


def _rows(sites: Mapping[str, NumberTestMetrics]) -> list[dict[str, Cell]]:
    rows: list[dict[str, Cell]] = []
    for site, part in sites.items():
        if part.points is not None:
            pairs: Sequence[tuple[float, float]] = list(zip(part.points.truth, part.points.predicted, strict=True))
            rows += [_row(site, 1, truth, predicted, None) for truth, predicted in pairs]
        else:
            rows += [
                _row(site, own.scans, own.mean_truth, own.mean_truth + own.mean_error, own.deviation)
                for own in part.residuals
            ]
    return rows


def _row(site: str, scans: int, truth: float, predicted: float, deviation: float | None) -> dict[str, Cell]:
    return {"site": site, "scans": scans, "true": truth, "predicted": predicted, "standard_deviation": deviation}
