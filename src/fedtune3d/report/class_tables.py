"""Tables of a model of several classes, per class and per site."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedtune3d.config.class_names import class_title
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.multiclass.confusion_matrix import HELD_BACK
from fedtune3d.evaluation.multiclass.metrics import ClassMetrics, ClassTestMetrics
from fedtune3d.report.few import is_few
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
OF_PROBABILITIES = ("log_loss", "brier")
"""Those of the predicted probabilities; the others are of how well classes are separated."""
CALIBRATION_ERROR = "ECE (if calibrated)"
"""The title of the expected calibration error of the predicted class, which has no interval and no mean."""
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
        few: Whether one of these rests on few people.
    """

    part: str
    name: str
    people: str
    recognised: str
    sensitivity: str
    auc: str
    few: bool


@dataclass(frozen=True)
class ClassesRow:
    """All classes together at one site, over sites or of all test scans.

    Attributes:
        part: The site, ``Mean`` or ``Pooled``.
        people: Number of people; empty for the mean.
        scans: Number of scans; empty for the mean.
        measures: Title of a measure → its value with its 95% CI, in the order of `MEASURES`, and the ECE,
            with what chance alone would give if the model were calibrated.
        few: Whether one of these rests on few people.
    """

    part: str
    people: str
    scans: str
    measures: dict[str, str]
    few: bool


def class_rows(metrics: ClassMetrics) -> list[ClassRow]:
    """Return one row per site and class, then per class of all test scans."""
    return [
        ClassRow(
            part=name,
            name=class_title(metrics.classes[of]),
            people=str(own.people),
            recognised=HELD_BACK if own.recognised is None else str(own.recognised),
            sensitivity=interval(own.sensitivity),
            auc=interval(own.auc),
            few=is_few((own.sensitivity, own.auc)),
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
            {title: interval(means[name]) if name in means else "–" for name, title in MEASURES.items()}
            | {CALIBRATION_ERROR: "–"},
            is_few(means.values()),
        )
    )
    return rows if metrics.pooled is None else [*rows, _row("Pooled", metrics.pooled)]


def class_auc_rows(metrics: ClassMetrics) -> list[AucRow]:
    """Return per site, as the mean over sites and of all test scans: the AUC of each class, then their mean."""
    rows = [_auc_row(name, "site", part) for name, part in metrics.sites.items()]
    rows.append(AucRow("Mean", "mean", None, [*(None for _ in metrics.classes), metrics.mean.macro_auc]))
    return rows if metrics.pooled is None else [*rows, _auc_row("Pooled", "pooled", metrics.pooled)]


def class_methods(metrics: ClassMetrics) -> set[str]:
    """Return the methods behind the CIs of these tables."""
    estimates: list[Estimate] = [getattr(metrics.mean, name) for name in MEANS]
    for part in metrics.parts.values():
        estimates += [getattr(part, name) for name in MEASURES]
        estimates += [estimate for own in part.of_class for estimate in (own.auc, own.sensitivity)]
        estimates += [point.observed for point in part.calibration_curve]
    return {estimate.method for estimate in estimates} - {""}


def _row(name: str, part: ClassTestMetrics) -> ClassesRow:
    estimates = {title: getattr(part, measure) for measure, title in MEASURES.items()}
    measures = {title: interval(estimate) for title, estimate in estimates.items()}
    error = part.calibration_error
    measures[CALIBRATION_ERROR] = "–" if error.value is None else f"{error.value:.2f} ({error.if_calibrated:.2f})"
    return ClassesRow(name, str(part.participants), str(part.scans), measures, is_few(estimates.values()))


def _auc_row(name: str, kind: str, part: ClassTestMetrics) -> AucRow:
    estimates: Sequence[Estimate] = [*(own.auc for own in part.of_class), part.macro_auc]
    return AucRow(name, kind, None, estimates)
