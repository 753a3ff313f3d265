"""Tables of a model of several classes, per class and per site, for the terminal and for the page."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.multiclass.confusion_matrix import HELD_BACK
from fedtune3d.evaluation.multiclass.metrics import ClassMetrics, ClassTestMetrics
from fedtune3d.report.number_formatting import interval
from fedtune3d.report.table import AucRow

MEASURES = {
    "macro_auc": "Macro AUC",
    "hand_till": "Pairwise AUC (M)",
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "log_loss": "Log loss",
    "brier": "Brier score (0 to 2)",
}
"""The measures of all classes together, and their titles."""
MEANS = ("macro_auc", "hand_till", "balanced_accuracy", "log_loss", "brier")
"""Those with a mean over sites."""


@dataclass(frozen=True)
class ClassRow:
    """One class at one site, or over all sites, as text.

    Attributes:
        part: The site, or ``Pooled``.
        name: The class.
        people: People with a test scan of the class.
        recognised: Its scans that are called that class, of all its scans: `12/15`.
        sensitivity: The same as a share with its 95% CI.
        auc: AUC of the class against the rest with its 95% CI.
    """

    part: str
    name: str
    people: str
    recognised: str
    sensitivity: str
    auc: str


@dataclass(frozen=True)
class ClassesRow:
    """All classes together at one site, over sites or of all test scans.

    Attributes:
        part: The site, ``Mean`` or ``Pooled``.
        people: Number of people; empty for the mean.
        scans: Number of scans; empty for the mean.
        measures: Title of a measure → its value with its 95% CI, in the order of `MEASURES`.
    """

    part: str
    people: str
    scans: str
    measures: dict[str, str]


def class_rows(metrics: ClassMetrics) -> list[ClassRow]:
    """Return one row per site and class, then per class of all test scans."""
    return [
        ClassRow(
            part=name,
            name=metrics.classes[of],
            people=str(own.people),
            recognised=HELD_BACK if own.recognised is None else str(own.recognised),
            sensitivity=_text(own.sensitivity),
            auc=_text(own.auc),
        )
        for name, part in metrics.parts.items()
        for of, own in enumerate(part.of_class)
    ]


def classes_rows(metrics: ClassMetrics) -> list[ClassesRow]:
    """Return one row per site, then the mean over sites, then all test scans."""
    rows = [_row(name, part) for name, part in metrics.sites.items()]
    means = {name: getattr(metrics.mean, name) for name in MEANS}
    rows.append(
        ClassesRow(
            "Mean",
            "",
            "",
            {title: _text(means[name]) if name in means else "–" for name, title in MEASURES.items()},
        )
    )
    return rows if metrics.pooled is None else [*rows, _row("Pooled", metrics.pooled)]


def class_auc_rows(metrics: ClassMetrics) -> list[AucRow]:
    """Return per site, as the mean over sites and of all test scans: the AUC of each class, then their mean."""
    rows = [_auc_row(name, "site", part) for name, part in metrics.sites.items()]
    rows.append(AucRow("Mean", "mean", None, [*(None for _ in metrics.classes), metrics.mean.macro_auc]))
    return rows if metrics.pooled is None else [*rows, _auc_row("Pooled", "pooled", metrics.pooled)]


def class_table(metrics: ClassMetrics) -> Table:
    """Tabulate the test AUC of each class against the rest and their mean per site, for the terminal."""
    table = Table(title="Test AUC [95% CI]", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("Site", no_wrap=True)
    table.add_column("Scans", justify="right")
    for title in (*metrics.classes, "Macro"):
        table.add_column(title)
    scans = {name: str(part.scans) for name, part in metrics.parts.items()}
    rows = class_auc_rows(metrics)
    for index, row in enumerate(rows):
        last_site = row.kind == "site" and rows[index + 1].kind != "site"
        cells = [Text(_cell(estimate)) for estimate in row.estimates]
        table.add_row(Text(row.name), scans.get(row.name, ""), *cells, end_section=last_site)
    return table


def class_methods(metrics: ClassMetrics) -> set[str]:
    """Return the methods behind the CIs of these tables."""
    estimates: list[Estimate] = [getattr(metrics.mean, name) for name in MEANS]
    for part in metrics.parts.values():
        estimates += [getattr(part, name) for name in MEASURES]
        estimates += [estimate for own in part.of_class for estimate in (own.auc, own.sensitivity)]
        estimates += [point.observed for point in part.calibration_curve]
    return {estimate.method for estimate in estimates} - {""}


def _row(name: str, part: ClassTestMetrics) -> ClassesRow:
    measures = {title: _text(getattr(part, measure)) for measure, title in MEASURES.items()}
    return ClassesRow(name, str(part.participants), str(part.scans), measures)


def _auc_row(name: str, kind: str, part: ClassTestMetrics) -> AucRow:
    estimates: Sequence[Estimate] = [*(own.auc for own in part.of_class), part.macro_auc]
    return AucRow(name, kind, None, estimates)


def _text(estimate: Estimate) -> str:
    return interval(estimate) + (f" {estimate.mark}" if estimate.mark else "")


def _cell(estimate: Estimate | None) -> str:
    return "–" if estimate is None else _text(estimate)
