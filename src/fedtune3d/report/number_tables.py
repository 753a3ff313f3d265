"""Tables of a model that predicts a number, per site, for the terminal and for the page."""

from collections.abc import Mapping
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.regression.corrected_gap import FLAT
from fedtune3d.evaluation.regression.metrics import NumberMetrics, NumberTestMetrics
from fedtune3d.report.number_formatting import interval

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
IN_TERMINAL = ("mae", "bias", "r_squared", "slope")


@dataclass(frozen=True)
class NumberRow:
    """The measures at one site, over sites or of all test scans, as text.

    Attributes:
        part: The site, ``Mean`` or ``Pooled``.
        people: Number of people; empty for the mean.
        scans: Number of scans; empty for the mean.
        truth: Mean and standard deviation of the true numbers: `71.3 ± 8.2`; empty for the mean.
        measures: Title of a measure → its value with its 95% CI, in the order of `MEASURES`.
    """

    part: str
    people: str
    scans: str
    truth: str
    measures: Mapping[str, str]


@dataclass(frozen=True)
class GapRow:
    """The gap corrected for regression to the mean at one site or of all test scans, as text.

    Attributes:
        part: The site, or ``Pooled``.
        mean: Its mean with its 95% CI, or why the gap is not corrected.
        deviation: Its standard deviation.
        before: Correlation of the gap with the true number before the correction, with its 95% CI.
        after: The same after it.
    """

    part: str
    mean: str
    deviation: str
    before: str
    after: str


def titles(unit: str) -> dict[str, str]:
    """Return the titles of the measures with the target's unit: `MAE (years)`."""
    return {name: f"{title} ({unit})" if has_unit and unit else title for name, (title, has_unit) in MEASURES.items()}


def number_rows(metrics: NumberMetrics, unit: str) -> list[NumberRow]:
    """Return one row per site, then the mean over sites, then all test scans."""
    rows = [_row(name, part, unit) for name, part in metrics.sites.items()]
    means = {title: _text(getattr(metrics.mean, name)) for name, title in titles(unit).items()}
    rows.append(NumberRow("Mean", "", "", "", means))
    return rows if metrics.pooled is None else [*rows, _row("Pooled", metrics.pooled, unit)]


def gap_rows(metrics: NumberMetrics) -> list[GapRow]:
    """Return one row per site, then all test scans; none for those whose correction could not be fitted."""
    return [
        GapRow(
            name,
            _text(part.gap.mean),
            "–" if part.gap.deviation is None else f"{part.gap.deviation:.2f}",
            _text(part.gap.trend_before),
            "–" if part.gap.mean.undefined == FLAT else _text(part.gap.trend_after),
        )
        for name, part in metrics.parts.items()
        if part.gap is not None
    ]


def number_table(metrics: NumberMetrics, unit: str) -> Table:
    """Tabulate error, bias, R² and calibration slope per site, for the terminal."""
    table = Table(title="Test scans [95% CI]", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("Site", no_wrap=True)
    table.add_column("Scans", justify="right")
    shown = [titles(unit)[name] for name in IN_TERMINAL]
    for title in shown:
        table.add_column(title)
    rows = number_rows(metrics, unit)
    for index, row in enumerate(rows):
        last_site = index + 1 < len(rows) and rows[index + 1].part == "Mean"
        cells = [Text(row.measures[title]) for title in shown]
        table.add_row(Text(row.part), row.scans, *cells, end_section=last_site)
    return table


def number_methods(metrics: NumberMetrics) -> set[str]:
    """Return the methods behind the CIs of these tables."""
    estimates: list[Estimate] = [getattr(metrics.mean, name) for name in MEASURES]
    for part in metrics.parts.values():
        estimates += [getattr(part.measures, name) for name in MEASURES]
        if part.gap is not None:
            estimates += [part.gap.mean, part.gap.trend_before, part.gap.trend_after]
    return {estimate.method for estimate in estimates} - {""}


def _row(name: str, part: NumberTestMetrics, unit: str) -> NumberRow:
    measures = {title: _text(getattr(part.measures, measure)) for measure, title in titles(unit).items()}
    return NumberRow(name, str(part.participants), str(part.scans), _truth(part), measures)


def _truth(part: NumberTestMetrics) -> str:
    if part.truth_mean is None:
        return "–"
    spread = "" if part.truth_deviation is None else f" ± {part.truth_deviation:.1f}"
    return f"{part.truth_mean:.1f}{spread}"


def _text(estimate: Estimate) -> str:
    return interval(estimate) + (f" {estimate.mark}" if estimate.mark else "")
