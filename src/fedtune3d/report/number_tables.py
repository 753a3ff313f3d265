"""Tables of a model that predicts a number, per site."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.regression.corrected_gap import FLAT
from fedtune3d.evaluation.regression.measures import NumberEstimates
from fedtune3d.evaluation.regression.metrics import NumberMetrics, NumberTestMetrics
from fedtune3d.report.few import is_few
from fedtune3d.report.number_formatting import interval
from fedtune3d.report.result_warnings import FLAT as FLAT_PREDICTIONS

MEASURES = {
    "mae": ("MAE", True),
    "rmse": ("RMSE", True),
    "bias": ("Bias", True),
    "r_squared": ("R²", False),
    "slope": ("Calibration slope", False),
    "intercept": ("Intercept", True),
    "pearson": ("Pearson", False),
    "spearman": ("Spearman", False),
}
"""The measures, their titles, and whether they are in the target's unit."""
ERRORS = ("mae", "rmse", "bias")
"""The measures of how far predictions are from the true numbers; the others are of how both go together."""
WIDEST = 10.0
"""An interval of the calibration slope that is wider tells nothing, as the best slope is 1."""


@dataclass(frozen=True)
class NumberRow:
    """The measures at one site, over sites or of all test scans, as text.

    Attributes:
        part: The site, ``Mean`` or ``Pooled``.
        people: Number of people; empty for the mean.
        scans: Number of scans; empty for the mean.
        truth: Mean and standard deviation of the true numbers: `71.3 ± 8.2`; empty for the mean.
        measures: Title of a measure → its value with its 95% CI or why it is not shown, in the order of `MEASURES`.
        few: Whether a measure rests on few people.
    """

    part: str
    people: str
    scans: str
    truth: str
    measures: Mapping[str, str]
    few: bool


@dataclass(frozen=True)
class GapRow:
    """The gap corrected for regression to the mean at one site or of all test scans, as text.

    Attributes:
        part: The site, or ``Pooled``.
        mean: Its mean with its 95% CI, or why the gap is not corrected.
        deviation: Its standard deviation.
        before: Correlation of the gap with the true number before the correction, with its 95% CI.
        after: The same after it.
        few: Whether one of these rests on few people.
    """

    part: str
    mean: str
    deviation: str
    before: str
    after: str
    few: bool


def titles(unit: str) -> dict[str, str]:
    """Return the titles of the measures with the target's unit: `MAE (years)`."""
    return {name: f"{title} ({unit})" if has_unit and unit else title for name, (title, has_unit) in MEASURES.items()}


def number_rows(metrics: NumberMetrics, unit: str) -> list[NumberRow]:
    """Return one row per site, then the mean over sites, then all test scans."""
    rows = [_row(name, part, unit) for name, part in metrics.sites.items()]
    why = next((why for part in metrics.sites.values() if (why := why_no_line(part.measures))), "")
    means = {name: getattr(metrics.mean, name) for name in MEASURES}
    rows.append(NumberRow("Mean", "", "", "", _measures(means, unit, why), is_few(means.values())))
    return rows if metrics.pooled is None else [*rows, _row("Pooled", metrics.pooled, unit)]


def why_no_line(measures: NumberEstimates) -> str:
    """Say why slope and intercept of the true on the predicted numbers are not shown; empty if they are.

    The slope is the correlation times SD(true) / SD(predicted), so the correlation over the slope is the ratio of the
    standard deviations. Where predictions hardly vary, slope and intercept are as large as that ratio is small.
    """
    slope, correlation = measures.slope, measures.pearson.value
    if slope.value and correlation is not None and abs(correlation / slope.value) < FLAT_PREDICTIONS:
        return "not shown: predictions hardly vary"
    if slope.limits is not None and slope.limits[2] - slope.limits[1] > WIDEST:
        return "not shown: too few people"
    return ""


def is_never_corrected(metrics: NumberMetrics) -> bool:
    """Return whether no gap is corrected because the fitted line is flat."""
    gaps = [part.gap for part in metrics.parts.values() if part.gap is not None]
    return bool(gaps) and all(gap.mean.undefined == FLAT for gap in gaps)


def gap_rows(metrics: NumberMetrics) -> list[GapRow]:
    """Return one row per site, then all test scans; none for those whose correction could not be fitted."""
    return [
        GapRow(
            name,
            interval(part.gap.mean),
            "–" if part.gap.deviation is None else f"{part.gap.deviation:.2f}",
            interval(part.gap.trend_before),
            "–" if part.gap.mean.undefined == FLAT else interval(part.gap.trend_after),
            is_few((part.gap.mean, part.gap.trend_before, part.gap.trend_after)),
        )
        for name, part in metrics.parts.items()
        if part.gap is not None
    ]


def number_methods(metrics: NumberMetrics) -> set[str]:
    """Return the methods behind the CIs of these tables."""
    estimates: list[Estimate] = [getattr(metrics.mean, name) for name in MEASURES]
    for part in metrics.parts.values():
        estimates += [getattr(part.measures, name) for name in MEASURES]
        if part.gap is not None:
            estimates += [part.gap.mean, part.gap.trend_before, part.gap.trend_after]
    return {estimate.method for estimate in estimates} - {""}


def _row(name: str, part: NumberTestMetrics, unit: str) -> NumberRow:
    estimates = {measure: getattr(part.measures, measure) for measure in MEASURES}
    measures = _measures(estimates, unit, why_no_line(part.measures))
    return NumberRow(name, str(part.participants), str(part.scans), _truth(part), measures, is_few(estimates.values()))


def _measures(estimates: Mapping[str, Estimate], unit: str, no_line: str) -> dict[str, str]:
    return {
        title: no_line if no_line and name in ("slope", "intercept") else interval(estimates[name])
        for name, title in titles(unit).items()
    }


def _truth(part: NumberTestMetrics) -> str:
    if part.truth_mean is None:
        return "–"
    spread = "" if part.truth_deviation is None else f" ± {part.truth_deviation:.1f}"
    return f"{part.truth_mean:.1f}{spread}"
