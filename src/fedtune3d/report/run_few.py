"""The notes on few people under each table of a run's page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fedtune3d.evaluation.calibration import Calibration
from fedtune3d.evaluation.metrics import RunMetrics, TestMetrics
from fedtune3d.evaluation.outcome import ClassOutcome
from fedtune3d.report.against import AgainstRow
from fedtune3d.report.few import Marked, few_note
from fedtune3d.report.membership import MembershipRow
from fedtune3d.report.run_statistics import GroupRow
from fedtune3d.report.table import AucRow, shown_methods


@dataclass(frozen=True)
class RunFew:
    """The note under each table, empty where no row has few people; mappings are by method."""

    auc: str
    against: str
    delong: str
    threshold: Mapping[str, str]
    predictive: Mapping[str, str]
    specificity: Mapping[str, str]
    calibration: Mapping[str, str]
    recalibrated: Mapping[str, str]
    groups: str
    membership: str


@dataclass(frozen=True)
class ShownRows:
    """The rows of the tables that have several kinds of estimates."""

    auc: list[AucRow]
    delong: list[AucRow]
    against: list[AgainstRow]
    groups: list[GroupRow]
    membership: list[MembershipRow]


def run_few(metrics: RunMetrics, rows: ShownRows) -> RunFew:
    """Find the rows with few people in each table."""
    return RunFew(
        auc=few_note((row.name, row.estimates) for row in rows.auc),
        delong=few_note((row.name, row.estimates) for row in rows.delong),
        against=few_note(
            ((row.place, [row.tested.comparison.difference]) for row in rows.against),
            by_class=isinstance(metrics.outcome, ClassOutcome),
        ),
        threshold=_by_method(
            metrics, lambda test: (test.sensitivity, test.specificity, test.balanced_accuracy, test.accuracy)
        ),
        predictive=_by_method(
            metrics, lambda test: [value for at in test.predictive_values for value in (at.positive, at.negative)]
        ),
        specificity=_by_method(
            metrics, lambda test: (test.at_specificity.sensitivity, test.at_specificity.specificity)
        ),
        calibration=_by_method(metrics, lambda test: _of_calibration(test.calibration)),
        recalibrated={
            name: few_note(
                (site, _of_calibration(part.calibration)) for site, part in metrics.methods[name].recalibrated.items()
            )
            for name in shown_methods(metrics)
        },
        groups=few_note(
            (
                row.name,
                (row.metrics.auc, row.metrics.gaps.auc, row.metrics.gaps.sensitivity, row.metrics.gaps.specificity),
            )
            for row in rows.groups
        ),
        membership=few_note(((row.name, [cell.auc for cell in row.cells]) for row in rows.membership), by_class=False),
    )


def _by_method(metrics: RunMetrics, estimates_of: Callable[[TestMetrics], Marked]) -> dict[str, str]:
    return {
        name: few_note((site, estimates_of(test)) for site, test in metrics.methods[name].parts.items())
        for name in shown_methods(metrics)
    }


def _of_calibration(calibration: Calibration) -> Marked:
    return calibration.slope, calibration.intercept, calibration.brier
