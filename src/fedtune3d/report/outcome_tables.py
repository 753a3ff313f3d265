"""Tables of the test results of three or more classes, or of a number, for terminal, page and model card."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.mean_over_sites import SiteMean
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.multiclass.metrics import ClassMetrics, ClassTestMetrics
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.evaluation.regression.metrics import NumberMetrics
from fedtune3d.report.headline import headline
from fedtune3d.report.number_formatting import METHODS, interval

MEAN = "Mean over sites"
Part = TypeVar("Part")


@dataclass(frozen=True)
class OutcomeTable:
    """A table.

    Attributes:
        title: Its title.
        header: The heads of its columns.
        rows: One cell per column.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def main_table(metrics: RunMetrics) -> OutcomeTable:
    """Tabulate the main measure of every method, per site and averaged over sites."""
    methods = {name: METHODS[name] for name in METHODS if name in metrics.evaluated}
    found = headline(metrics)
    measured = {name: _main_by_place(metrics, name) for name in methods}
    rows = [
        (place, *(_cell(measured[name].get(place)) for name in methods))
        for place in dict.fromkeys(place for by_place in measured.values() for place in by_place)
    ]
    means = (MEAN, *(_cell(headline(metrics, name).mean) for name in methods))
    name = found.name.removeprefix("mean ").capitalize() if metrics.class_methods else found.name.capitalize()
    unit = f", {found.unit}" if found.unit else ""
    return OutcomeTable(f"{name}{unit} [95% CI]", ("Site", *methods.values()), [*rows, means])


def measured_tables(metrics: RunMetrics, only: str | None = None) -> list[OutcomeTable]:
    """Tabulate the federated model's metrics per site and pooled.

    Args:
        metrics: Of a run of three or more classes, or of a number.
        only: The only site to show; None for all.
    """
    if (classes := metrics.class_methods.get("federated")) is not None:
        return [_class_measures(classes, only), _class_aucs(classes, only), *_confusion_tables(classes, only)]
    return [_number_measures(metrics.number_methods["federated"], metrics.outcome, only)]


def terminal_table(table: OutcomeTable) -> Table:
    """Format a table for the terminal."""
    found = Table(title=table.title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    for name in table.header:
        found.add_column(Text(name))
    for row in table.rows:
        found.add_row(*map(Text, row))
    return found


def _main_by_place(metrics: RunMetrics, method: str) -> dict[str, Estimate]:
    if (classes := metrics.class_methods.get(method)) is not None:
        return {name: test.macro_auc for name, test in classes.parts.items()}
    return {name: test.measures.mae for name, test in metrics.number_methods[method].parts.items()}


def _class_measures(metrics: ClassMetrics, only: str | None) -> OutcomeTable:
    rows = [
        (name, str(test.participants), str(test.scans), *map(_cell, _measures_of(test)))
        for name, test in _shown(metrics.parts, only).items()
    ]
    mean = metrics.mean
    if only is None:
        means = (mean.macro_auc, mean.hand_till, mean.balanced_accuracy, mean.log_loss, mean.brier)
        rows.append((MEAN, "", "", *map(_cell, means)))
    header = (
        "Site",
        "People",
        "Scans",
        "Macro AUC",
        "Hand and Till's M",
        "Balanced accuracy",
        "Log loss",
        "Brier score",
    )
    return OutcomeTable("All classes: test scans [95% CI]", header, rows)


def _measures_of(test: ClassTestMetrics) -> tuple[Estimate, ...]:
    return test.macro_auc, test.hand_till, test.balanced_accuracy, test.log_loss, test.brier


def _class_aucs(metrics: ClassMetrics, only: str | None) -> OutcomeTable:
    rows = [
        (
            name,
            class_name,
            str(of_class.people),
            _cell(of_class.auc),
            _sensitivity(of_class.sensitivity, of_class.recognised),
        )
        for name, test in _shown(metrics.parts, only).items()
        for class_name, of_class in zip(metrics.classes, test.of_class, strict=True)
    ]
    header = ("Site", "Class", "People", "AUC against the others", "Recognised (scans)")
    return OutcomeTable("Each class: test scans [95% CI]", header, rows)


def _sensitivity(estimate: Estimate, recognised: object) -> str:
    return _cell(estimate) if recognised is None else f"{_cell(estimate)} ({recognised})"


def _confusion_tables(metrics: ClassMetrics, only: str | None) -> list[OutcomeTable]:
    tables = []
    for place, test in _shown(metrics.parts, only).items():
        rows = [
            (name, *("held back" if cell is None else str(cell) for cell in cells), str(total))
            for name, cells, total in zip(metrics.classes, test.confusion.cells, test.confusion.totals, strict=True)
        ]
        header = ("Class", *(f"called {name}" for name in metrics.classes), "Scans")
        tables.append(OutcomeTable(f"Confusion matrix, {place}", header, rows))
    return tables


def _number_measures(metrics: NumberMetrics, outcome: object, only: str | None) -> OutcomeTable:
    unit = f", {outcome.unit}" if isinstance(outcome, NumberOutcome) and outcome.unit else ""
    rows = [
        (
            name,
            str(test.participants),
            str(test.scans),
            "–" if test.truth_mean is None else f"{test.truth_mean:.1f} ± {test.truth_deviation or 0:.1f}",
            *map(_cell, (test.measures.mae, test.measures.rmse, test.measures.bias, test.measures.r_squared)),
            *map(_cell, (test.measures.slope, test.measures.pearson)),
        )
        for name, test in _shown(metrics.parts, only).items()
    ]
    mean = metrics.mean
    if only is None:
        means = (mean.mae, mean.rmse, mean.bias, mean.r_squared, mean.slope, mean.pearson)
        rows.append((MEAN, "", "", "", *map(_cell, means)))
    errors = [f"{name}{unit}" for name in ("Mean absolute error", "Root mean squared error", "Bias")]
    header = (
        "Site",
        "People",
        "Scans",
        f"True number{unit}, mean ± SD",
        *errors,
        "R²",
        "Calibration slope",
        "Correlation",
    )
    return OutcomeTable("Predicted numbers: test scans [95% CI]", header, rows)


def _shown(parts: Mapping[str, Part], only: str | None) -> dict[str, Part]:
    return {name: test for name, test in parts.items() if only in (None, name)}


def _cell(estimate: Estimate | SiteMean | None) -> str:
    if estimate is None:
        return "–"
    return interval(estimate) + (f" {estimate.mark}" if estimate.mark else "")
