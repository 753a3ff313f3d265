"""The tables of a cross-validation: a measure per site and method, every fold, and calibration out of fold."""

from collections.abc import Mapping
from typing import NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.evaluation.cross_validated import CrossValidated, FoldNumber, all_folds
from fedtune3d.evaluation.cross_validation import CrossValidationResults, MeasureName
from fedtune3d.evaluation.out_of_fold import OutOfFoldCalibration
from fedtune3d.evaluation.regression.residual_bins import ResidualBin
from fedtune3d.report.figures.drawing import Cell
from fedtune3d.report.number_formatting import METHODS, interval, plural
from fedtune3d.report.shown_measure import main_measure, shown_measure
from fedtune3d.report.site_name import SiteName
from fedtune3d.report.site_order import by_site
from fedtune3d.report.statements import ci

MEAN = "Mean"


class CrossValidationRow(NamedTuple):
    """A site, or the mean over sites: method → its values of a measure."""

    name: str
    by_method: Mapping[str, CrossValidated]


class FoldRow(NamedTuple):
    """A fold of a method: site (and ``Mean``) → the value of a measure, None where there is none."""

    number: FoldNumber
    method: str
    values: Mapping[str, float | None]


class CalibrationRow(NamedTuple):
    """Calibration of a method's out-of-fold predictions at a site, or ``Pooled``."""

    name: str
    method: str
    calibration: OutOfFoldCalibration


class ResidualRow(NamedTuple):
    """Errors of the federated models' out-of-fold predictions in a range of the true number, of all sites."""

    people: int
    truth: str
    error: str


def shown_methods(results: CrossValidationResults) -> list[str]:
    """Return the methods in the order in which they are shown."""
    return [name for name in METHODS if name in results.methods]


def measures_of(results: CrossValidationResults) -> list[MeasureName]:
    """Return the measures of the results; empty before the first fold's end."""
    return list(results.methods[methods[0]].measures) if (methods := shown_methods(results)) else []


def rows_of(results: CrossValidationResults, measure: MeasureName) -> list[CrossValidationRow]:
    """Return one row per site, then the mean over sites; empty before the first fold's end."""
    methods = {name: results.methods[name].measures[measure] for name in shown_methods(results)}
    if not methods:
        return []
    rows = [
        CrossValidationRow(site, {name: found.sites[site] for name, found in methods.items()}) for site in results.sites
    ]
    return [*rows, CrossValidationRow(MEAN, {name: found.mean for name, found in methods.items()})]


def fold_rows(results: CrossValidationResults, measure: MeasureName) -> list[FoldRow]:
    """Return every finished fold of every method."""
    rows = []
    for name in shown_methods(results):
        found = results.methods[name].measures[measure]
        for index, fold in enumerate(found.mean.folds):
            values = {site: found.sites[site].folds[index].value for site in results.sites} | {MEAN: fold.value}
            rows.append(FoldRow(FoldNumber(fold.repeat, fold.fold), name, values))
    return rows


def fold_data(results: CrossValidationResults) -> list[dict[str, Cell]]:
    """Return every fold as tabular data: a line per method, fold and site (and ``Mean``), a column per measure."""
    by_measure = {measure: fold_rows(results, measure) for measure in measures_of(results)}
    data: list[dict[str, Cell]] = []
    for rows in zip(*by_measure.values(), strict=True):
        first = rows[0]
        for site in first.values:
            line: dict[str, Cell] = {
                "method": first.method,
                "repeat": first.number.repeat,
                "fold": first.number.fold,
                "site": site,
            }
            data.append(line | {measure: row.values[site] for measure, row in zip(by_measure, rows, strict=True)})
    return data


def calibration_rows(results: CrossValidationResults) -> list[CalibrationRow]:
    """Return the calibration at every site by every method, and of all sites together; in the order of `rows_of`."""
    by_method = {method: results.methods[method].calibration for method in shown_methods(results)}
    places = dict.fromkeys(name for found in by_method.values() for name in found)
    return [
        CalibrationRow(name, method, found[name])
        for name in by_site(places, results.sites)
        for method, found in by_method.items()
        if name in found
    ]


def pooled_residuals(results: CrossValidationResults) -> tuple[ResidualBin, ...]:
    """Return the errors of the federated models out of fold, over all sites; empty if there are none."""
    federated = results.methods.get("federated")
    return () if federated is None else federated.residuals.get("Pooled", ())


def residual_rows(results: CrossValidationResults) -> list[ResidualRow]:
    """Return the errors of the federated models out of fold by range of the true number."""
    return [
        ResidualRow(
            part.people,
            f"{part.mean_truth:.1f}",
            f"{part.mean_error:+.2f} ± {part.deviation:.2f}".replace("-", "−"),
        )
        for part in pooled_residuals(results)
    ]


def design(results: CrossValidationResults) -> str:
    """Describe the folds: `5 folds`, or `5 folds, 2 repeats`."""
    repeats = "" if results.repeats == 1 else f", {plural(results.repeats, 'repeat')}"
    return plural(results.folds, "fold") + repeats


def spread(found: CrossValidated) -> str:
    """Describe the spread of a measure: `0.08 over folds, 0.02 over repeats`; a dash if there is none yet."""
    parts = [(found.sd_folds, "folds"), (found.sd_repeats, "repeats")]
    return ", ".join(f"{sd:.2f} over {what}" for sd, what in parts if sd is not None) or "–"


def answer(results: CrossValidationResults) -> str:
    """State the main result in a sentence, or how many folds are finished."""
    if "federated" not in results.methods:
        return f"No fold of {len(all_folds(results.folds, results.repeats))} is finished yet."
    mean = results.methods["federated"].mean
    if mean.estimate.value is None:
        return f"Cross-validation: {mean.estimate.undefined}."
    having = sum(found.estimate.value is not None for found in results.methods["federated"].sites.values())
    few = ", few people" if mean.estimate.mark else ""
    measure = main_measure(results.outcome)
    value = ci(mean.estimate, unit=measure.unit or "")
    return (
        f"Cross-validated {measure.name}, mean over {plural(having, 'site')}: {value}{few}; "
        f"{design(results)}, standard deviation {spread(mean)}."
    )


def cross_validation_tables(results: CrossValidationResults) -> list[Table]:
    """Tabulate each cross-validated measure per site and method, for the terminal."""
    return [_table(results, measure) for measure in measures_of(results)]


def _table(results: CrossValidationResults, measure: MeasureName) -> Table:
    title = shown_measure(measure, results.outcome).title
    title = f"{title} [95% CI], mean within folds ({design(results)}); below, its standard deviation"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("Site")
    for name in shown_methods(results):
        table.add_column(METHODS[name])
    rows = rows_of(results, measure)
    for index, row in enumerate(rows):
        last_site = index == len(rows) - 2
        cells = [Text(_cell(found)) for found in row.by_method.values()]
        table.add_row(SiteName(row.name), *cells, end_section=last_site)
    return table


def _cell(found: CrossValidated) -> str:
    estimate = found.estimate
    if estimate.value is None:
        return interval(estimate)
    return interval(estimate) + (f" {estimate.mark}" if estimate.mark else "") + f"\n{spread(found)}"
