"""Tables of the test results of three or more classes, or of a number, in one form for page, card and terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.mean_over_sites import SiteMean
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.multiclass.metrics import ClassMetrics
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.evaluation.regression.metrics import NumberMetrics
from fedtune3d.evaluation.subgroups import SubgroupAxis
from fedtune3d.report.class_tables import class_rows, classes_rows
from fedtune3d.report.headline import by_place, headline
from fedtune3d.report.number_formatting import METHODS, difference, interval, plural, sentence_case
from fedtune3d.report.number_tables import gap_rows, number_rows
from fedtune3d.report.run_statistics import AXES

MEAN, FEW_MARK = "Mean", " few"
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
    measured = {name: by_place(metrics, name) for name in methods}
    rows = [
        (place, *(_cell(measured[name].get(place)) for name in methods))
        for place in dict.fromkeys(place for by_place in measured.values() for place in by_place)
    ]
    means = (MEAN, *(_cell(headline(metrics, name).mean) for name in methods))
    name = sentence_case(found.name.removeprefix("mean ") if metrics.class_methods else found.name)
    unit = f", {found.unit}" if found.unit else ""
    return OutcomeTable(f"{name}{unit} [95% CI]", ("Site", *methods.values()), [*rows, means])


def measured_tables(metrics: RunMetrics, only: str | None = None) -> list[OutcomeTable]:
    """Tabulate the federated model's metrics per site and pooled.

    Args:
        metrics: Of a run of three or more classes, or of a number.
        only: The only site to show; None for all.
    """
    if (classes := metrics.class_methods.get("federated")) is not None:
        tables = [_class_measures(classes, only), _each_class(classes, only), *_confusion_tables(classes, only)]
        return tables + (group_tables(classes.groups, "Macro AUC") if only is None else [])
    outcome, numbers = metrics.outcome, metrics.number_methods["federated"]
    unit = outcome.unit if isinstance(outcome, NumberOutcome) else ""
    title = f"MAE ({unit})" if unit else "MAE"
    return _number_tables(numbers, unit, only) + (group_tables(numbers.groups, title) if only is None else [])


def terminal_table(table: OutcomeTable) -> Table:
    """Format a table for the terminal, with one note in the place of the marks of few people."""
    found = Table(title=table.title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    for name in table.header:
        found.add_column(Text(name))
    for row in table.rows:
        found.add_row(*(Text(cell.removesuffix(FEW_MARK)) for cell in row))
    marked = [row[0] for row in table.rows if any(cell.endswith(FEW_MARK) for cell in row)]
    if marked:
        where = "every row" if len(marked) == len(table.rows) > 1 else ", ".join(marked)
        found.caption, found.caption_justify = Text(f"Few people: {where}."), "left"
    return found


def _class_measures(metrics: ClassMetrics, only: str | None) -> OutcomeTable:
    rows = [row for row in classes_rows(metrics) if only in (None, row.part)]
    header = ("Site", "People", "Scans", *rows[0].measures)
    cells = [(row.part, row.people, row.scans, *row.measures.values()) for row in rows]
    return OutcomeTable("All classes together: test scans [95% CI]", header, cells)


def _each_class(metrics: ClassMetrics, only: str | None) -> OutcomeTable:
    rows = [
        (row.part, row.name, row.people, row.recognised, row.sensitivity, row.auc)
        for row in class_rows(metrics)
        if only in (None, row.part)
    ]
    header = ("Site", "Class", "People", "Called so, of its scans", "Sensitivity", "AUC against the others")
    return OutcomeTable("Each class: test scans [95% CI]", header, rows)


def _confusion_tables(metrics: ClassMetrics, only: str | None) -> list[OutcomeTable]:
    tables = []
    for place, test in _shown(metrics.parts, only).items():
        rows = [
            (name, *("held back" if cell is None else str(cell) for cell in cells), str(total))
            for name, cells, total in zip(metrics.classes, test.confusion.cells, test.confusion.totals, strict=True)
        ]
        header = ("Class", *(f"predicted {name}" for name in metrics.classes), "Scans")
        tables.append(OutcomeTable(f"Confusion matrix, {place}", header, rows))
    return tables


def _number_tables(metrics: NumberMetrics, unit: str, only: str | None) -> list[OutcomeTable]:
    rows = [row for row in number_rows(metrics, unit) if only in (None, row.part)]
    true = f"True number ({unit}), mean ± SD" if unit else "True number, mean ± SD"
    measured = OutcomeTable(
        "Predicted numbers: test scans [95% CI]",
        ("Site", "People", "Scans", true, *rows[0].measures),
        [(row.part, row.people, row.scans, row.truth, *row.measures.values()) for row in rows],
    )
    gaps = [
        (row.part, row.mean, row.deviation, row.before, row.after)
        for row in gap_rows(metrics)
        if only in (None, row.part)
    ]
    header = ("Site", "Mean", "SD", "Correlation with the true number, uncorrected", "corrected")
    title = "Gap between predicted and true number, corrected for regression to the mean: test scans [95% CI]"
    return [measured, OutcomeTable(title, header, gaps)] if gaps else [measured]


def group_tables(axes: Mapping[str, SubgroupAxis], measure: str) -> list[OutcomeTable]:
    """Tabulate the groups of the axes that have two or more; what sites held back is a row of its own."""
    rows: list[tuple[str, ...]] = []
    for axis, title in AXES.items():
        if (part := axes.get(axis)) is None or len(part.groups) < 2:
            continue
        for name, group in part.groups.items():
            cells = _cell(group.value), _gap(group.gap)
            rows.append((f"{title}: {name}", str(group.people), str(group.scans), *cells))
        if part.held_back:
            rows.append((f"{title}: held back by sites", "–", "–", plural(part.held_back, "group"), "–"))
    header = ("Group", "People", "Scans", measure, "Minus all other groups")
    title = "Groups of people: test scans of all sites [95% CI], not adjusted for their number"
    return [OutcomeTable(title, header, rows)] if rows else []


def _gap(estimate: Estimate) -> str:
    return difference(estimate) + (f" {estimate.mark}" if estimate.mark else "")


def _shown(parts: Mapping[str, Part], only: str | None) -> dict[str, Part]:
    return {name: test for name, test in parts.items() if only in (None, name)}


def _cell(estimate: Estimate | SiteMean | None) -> str:
    if estimate is None:
        return "–"
    return interval(estimate) + (FEW_MARK if estimate.mark else "")
