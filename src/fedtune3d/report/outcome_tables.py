"""Tables of the test results of three or more classes, or of a number, in one form for page, card and terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.config.class_names import class_titles
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.multiclass.metrics import ClassMetrics
from fedtune3d.evaluation.outcome import ClassOutcome, NumberOutcome
from fedtune3d.evaluation.regression.metrics import NumberMetrics
from fedtune3d.evaluation.subgroups import SubgroupAxis
from fedtune3d.report.class_tables import CALIBRATION_ERROR, OF_PROBABILITIES, class_rows, classes_rows
from fedtune3d.report.class_tables import MEASURES as CLASS_MEASURES
from fedtune3d.report.few import few_note, note_on_few
from fedtune3d.report.flow import HELD_BACK
from fedtune3d.report.headline import by_place, headline
from fedtune3d.report.number_formatting import METHODS, difference, interval, plural, sentence_case
from fedtune3d.report.number_tables import ERRORS, gap_rows, is_never_corrected, number_rows, titles
from fedtune3d.report.run_statistics import AXES
from fedtune3d.report.site_name import SiteName

MEAN, POOLED = "Mean", "Pooled"


@dataclass(frozen=True)
class OutcomeTable:
    """A table.

    Attributes:
        title: Its title.
        header: The heads of its columns.
        rows: One cell per column.
        few: Which rows rest on few people; empty if none does.
        note: What a dash stands for, and why something is not shown; empty if there is nothing to say.
        folded: Whether a page shows it only on demand, as a figure has the same numbers.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    few: str = ""
    note: str = ""
    folded: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes below the table, one per line; none if there is nothing to explain."""
        return tuple(filter(None, (self.few, self.note)))


def main_table(metrics: RunMetrics) -> OutcomeTable:
    """Tabulate the main measure of every method: per site, averaged over sites, and of all test scans."""
    methods = {name: METHODS[name] for name in METHODS if name in metrics.evaluated}
    found = headline(metrics)
    measured = {name: by_place(metrics, name) for name in methods}
    sites = dict.fromkeys(place for by_site in measured.values() for place in by_site if place != POOLED)
    rows = {site: [measured[name].get(site) for name in methods] for site in sites}
    rows[MEAN] = [headline(metrics, name).mean for name in methods]
    if any(POOLED in by_site for by_site in measured.values()):
        rows[POOLED] = [measured[name].get(POOLED) for name in methods]
    name = sentence_case(found.name.removeprefix("mean ") if metrics.class_methods else found.name)
    unit = f", {found.unit}" if found.unit else ""
    return OutcomeTable(
        f"{name}{unit} [95% CI]",
        ("Site", *methods.values()),
        [(place, *("–" if part is None else interval(part) for part in parts)) for place, parts in rows.items()],
        few=few_note(rows.items(), _by_class(metrics)),
        note=_unpooled([title for name, title in methods.items() if POOLED not in measured[name]], len(methods)),
    )


def _unpooled(titles: Sequence[str], methods: int) -> str:
    """Explain the dash of methods without a model that all sites share; empty if no method or none of them has one."""
    if not titles or len(titles) == methods:
        return ""
    return f"–: {' and '.join(titles).lower()} models differ between sites, so their predictions are not pooled."


def _by_class(metrics: RunMetrics) -> bool:
    """Return whether few people are those of a class; of a number, all people count together."""
    return isinstance(metrics.outcome, ClassOutcome)


def measured_tables(metrics: RunMetrics, only: str | None = None) -> list[OutcomeTable]:
    """Tabulate the federated model's metrics per site and pooled.

    Args:
        metrics: Of a run of three or more classes, or of a number.
        only: The only site to show; None for all.
    """
    if (classes := metrics.class_methods.get("federated")) is not None:
        tables = [*_class_measures(classes, only), _each_class(classes, only), _confusion_table(classes, only)]
        return tables + (group_tables(classes.groups, "Macro AUC") if only is None else [])
    outcome, numbers = metrics.outcome, metrics.number_methods["federated"]
    assert isinstance(outcome, NumberOutcome)
    title = f"MAE ({outcome.unit})" if outcome.unit else "MAE"
    groups = group_tables(numbers.groups, title, by_class=False) if only is None else []
    return [*_number_tables(numbers, outcome, only), *groups]


def terminal_table(table: OutcomeTable) -> Table:
    """Format a table for the terminal, with its notes below."""
    found = Table(title=table.title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    for name in table.header:
        found.add_column(Text(name))
    for name, *cells in table.rows:
        found.add_row(SiteName(name), *map(Text, cells))
    if table.notes:
        found.caption, found.caption_justify = Text("\n".join(table.notes)), "left"
    return found


def _class_measures(metrics: ClassMetrics, only: str | None) -> list[OutcomeTable]:
    rows = [row for row in classes_rows(metrics) if only in (None, row.part)]
    few = note_on_few((row.part, row.few) for row in rows)
    of_probabilities = [*(CLASS_MEASURES[name] for name in OF_PROBABILITIES), CALIBRATION_ERROR]
    of_classes = [title for title in CLASS_MEASURES.values() if title not in of_probabilities]
    mean = any(row.part == MEAN for row in rows)
    return [
        OutcomeTable(
            "Telling the classes apart: test scans [95% CI]",
            ("Site", "People", "Scans", *of_classes),
            [(row.part, row.people, row.scans, *(row.measures[title] for title in of_classes)) for row in rows],
            few=few,
            note="–: accuracy depends on the proportions of the classes at a site, so it is not averaged." * mean,
        ),
        OutcomeTable(
            "Predicted probabilities: test scans [95% CI]",
            ("Site", *of_probabilities),
            [(row.part, *(row.measures[title] for title in of_probabilities)) for row in rows],
            few=few,
            note="ECE: expected calibration error of the predicted class; in parentheses, what chance alone gives.",
        ),
    ]


def _each_class(metrics: ClassMetrics, only: str | None) -> OutcomeTable:
    rows = [row for row in class_rows(metrics) if only in (None, row.part)]
    return OutcomeTable(
        "Each class: test scans [95% CI]",
        ("Site", "Class", "People", "Scans classified correctly", "Sensitivity", "AUC against the others"),
        [(row.part, row.name, row.people, row.recognised, row.sensitivity, row.auc) for row in rows],
        few=note_on_few((row.part, row.few) for row in rows),
    )


def _confusion_table(metrics: ClassMetrics, only: str | None) -> OutcomeTable:
    titles = class_titles(metrics.classes)
    rows = [
        (place, name, *(HELD_BACK if cell is None else str(cell) for cell in cells), str(total))
        for place, test in metrics.parts.items()
        if only in (None, place)
        for name, cells, total in zip(titles, test.confusion.cells, test.confusion.totals, strict=True)
    ]
    header = ("Site", "Class", *(f"Classified as {name}" for name in titles), "All scans")
    return OutcomeTable("Confusion matrix: test scans", header, rows, folded=True)


def _number_tables(metrics: NumberMetrics, outcome: NumberOutcome, only: str | None) -> list[OutcomeTable]:
    target, unit = outcome.column, outcome.unit
    rows = [row for row in number_rows(metrics, unit) if only in (None, row.part)]
    few = note_on_few([(row.part, row.few) for row in rows], by_class=False)
    errors = [title for name, title in titles(unit).items() if name in ERRORS]
    of_line = [title for title in titles(unit).values() if title not in errors]
    true = f"True {target} ({unit}), mean ± SD" if unit else f"True {target}, mean ± SD"
    return [
        OutcomeTable(
            f"Error of the predicted {target}: test scans [95% CI]",
            ("Site", "People", "Scans", true, *errors),
            [(row.part, row.people, row.scans, row.truth, *(row.measures[title] for title in errors)) for row in rows],
            few=few,
        ),
        OutcomeTable(
            f"Predicted against true {target}: test scans [95% CI]",
            ("Site", *of_line),
            [(row.part, *(row.measures[title] for title in of_line)) for row in rows],
            few=few,
            note=_never_corrected(target) if is_never_corrected(metrics) else "",
        ),
        *_gap_tables(metrics, target, only),
    ]


def _never_corrected(target: str) -> str:
    return (
        f"The gap between predicted and true {target} is not corrected for regression to the mean: in the validation "
        f"scans the predicted {target} does not rise with the true one (the 95% CI of the slope reaches 0 or below)."
    )


def _gap_tables(metrics: NumberMetrics, target: str, only: str | None) -> list[OutcomeTable]:
    rows = [row for row in gap_rows(metrics) if only in (None, row.part)]
    if not rows or is_never_corrected(metrics):
        return []
    return [
        OutcomeTable(
            f"Gap between predicted and true {target}, corrected for regression to the mean: test scans [95% CI]",
            ("Site", "Mean", "SD", f"Correlation with true {target}, uncorrected", "corrected"),
            [(row.part, row.mean, row.deviation, row.before, row.after) for row in rows],
            few=note_on_few([(row.part, row.few) for row in rows], by_class=False),
        )
    ]


def group_tables(axes: Mapping[str, SubgroupAxis], measure: str, by_class: bool = True) -> list[OutcomeTable]:
    """Tabulate the groups of the axes that have two or more; what sites held back is a row of its own.

    Args:
        axes: Axis → its groups.
        measure: What is measured, as a head.
        by_class: As in `few_note`.
    """
    rows: list[tuple[str, ...]] = []
    estimates: list[tuple[str, tuple[Estimate, Estimate]]] = []
    for axis, title in AXES.items():
        if (part := axes.get(axis)) is None or len(part.groups) < 2:
            continue
        for name, group in part.groups.items():
            cells = interval(group.value), difference(group.gap)
            rows.append((f"{title}: {name}", str(group.people), str(group.scans), *cells))
            estimates.append((f"{title}: {name}", (group.value, group.gap)))
        if part.held_back:
            rows.append((f"{title}: held back by sites", "–", "–", plural(part.held_back, "group"), "–"))
    header = ("Group", "People", "Scans", measure, "Minus all other groups")
    title = "Groups of people: test scans of all sites [95% CI], not adjusted for their number"
    return [OutcomeTable(title, header, rows, few=few_note(estimates, by_class))] if rows else []
