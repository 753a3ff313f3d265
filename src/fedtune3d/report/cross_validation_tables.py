"""The tables of a cross-validation: AUC per site and method, every fold, and calibration out of fold."""

from collections.abc import Mapping
from typing import NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.evaluation.cross_validation import (
    CrossValidatedAuc,
    CrossValidationResults,
    FoldNumber,
    OutOfFoldCalibration,
    all_folds,
)
from fedtune3d.report.figures.drawing import Cell
from fedtune3d.report.number_formatting import METHODS, interval, plural

MEAN = "Mean"


class CrossValidationRow(NamedTuple):
    """A site, or the mean over sites: method → its AUC."""

    name: str
    by_method: Mapping[str, CrossValidatedAuc]


class FoldRow(NamedTuple):
    """A fold of a method: site (and ``Mean``) → AUC, None where there is none."""

    number: FoldNumber
    method: str
    aucs: Mapping[str, float | None]


class CalibrationRow(NamedTuple):
    """Calibration of a method's out-of-fold predictions at a site, or ``Pooled``."""

    name: str
    method: str
    calibration: OutOfFoldCalibration


def shown_methods(results: CrossValidationResults) -> list[str]:
    """Return the methods in the order in which they are shown."""
    return [name for name in METHODS if name in results.methods]


def rows_of(results: CrossValidationResults) -> list[CrossValidationRow]:
    """Return one row per site, then the mean over sites; empty before the first fold's end."""
    methods = {name: results.methods[name] for name in shown_methods(results)}
    if not methods:
        return []
    rows = [
        CrossValidationRow(site, {name: method.sites[site] for name, method in methods.items()})
        for site in results.sites
    ]
    return [*rows, CrossValidationRow(MEAN, {name: method.mean for name, method in methods.items()})]


def fold_rows(results: CrossValidationResults) -> list[FoldRow]:
    """Return every finished fold of every method."""
    found = []
    for name in shown_methods(results):
        method = results.methods[name]
        for index, fold in enumerate(method.mean.folds):
            aucs = {site: method.sites[site].folds[index].auc for site in results.sites} | {MEAN: fold.auc}
            found.append(FoldRow(FoldNumber(fold.repeat, fold.fold), name, aucs))
    return found


def fold_data(results: CrossValidationResults) -> list[dict[str, Cell]]:
    """Return every fold as tabular data: a line per method, fold and site (and ``Mean``)."""
    return [
        {"method": row.method, "repeat": row.number.repeat, "fold": row.number.fold, "site": site, "auc": auc}
        for row in fold_rows(results)
        for site, auc in row.aucs.items()
    ]


def calibration_rows(results: CrossValidationResults) -> list[CalibrationRow]:
    """Return the calibration of every method at every site, and of all sites together."""
    return [
        CalibrationRow(name, method, calibration)
        for method in shown_methods(results)
        for name, calibration in results.methods[method].calibration.items()
    ]


def design(results: CrossValidationResults) -> str:
    """Describe the folds: `5 folds`, or `5 folds, 2 repeats`."""
    repeats = "" if results.repeats == 1 else f", {plural(results.repeats, 'repeat')}"
    return plural(results.folds, "fold") + repeats


def spread(auc: CrossValidatedAuc) -> str:
    """Describe the spread of an AUC: `0.08 over folds, 0.02 over repeats`; a dash if there is none yet."""
    parts = [(auc.sd_folds, "folds"), (auc.sd_repeats, "repeats")]
    return ", ".join(f"{sd:.2f} over {what}" for sd, what in parts if sd is not None) or "–"


def answer(results: CrossValidationResults) -> str:
    """State the main result in a sentence, or how many folds are finished."""
    if "federated" not in results.methods:
        return f"No fold of {len(all_folds(results.folds, results.repeats))} is finished yet."
    mean = results.methods["federated"].mean
    if mean.estimate.value is None:
        return f"Cross-validation: {mean.estimate.undefined}."
    having = sum(auc.estimate.value is not None for auc in results.methods["federated"].sites.values())
    few = " (few people)" if mean.estimate.mark else ""
    return (
        f"Cross-validated AUC, mean over {plural(having, 'site')}: {interval(mean.estimate)}{few}; "
        f"{design(results)}, standard deviation {spread(mean)}."
    )


def cross_validation_table(results: CrossValidationResults) -> Table:
    """Tabulate the cross-validated AUC per site and method, for the terminal."""
    title = f"AUC [95% CI], mean within folds ({design(results)}); below, its standard deviation"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("Site", no_wrap=True)
    for name in shown_methods(results):
        table.add_column(METHODS[name])
    rows = rows_of(results)
    for index, row in enumerate(rows):
        last_site = index == len(rows) - 2
        table.add_row(Text(row.name), *(Text(_cell(auc)) for auc in row.by_method.values()), end_section=last_site)
    return table


def _cell(auc: CrossValidatedAuc) -> str:
    estimate = auc.estimate
    if estimate.value is None:
        return interval(estimate)
    return interval(estimate) + (f" {estimate.mark}" if estimate.mark else "") + f"\n{spread(auc)}"
