"""Test AUC of each class against the rest per site, with their mean."""

from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.multiclass.metrics import ClassMetrics
from fedtune3d.report.class_tables import class_auc_rows
from fedtune3d.report.figures.auc_rows import draw_rows
from fedtune3d.report.figures.class_marks import class_marks
from fedtune3d.report.figures.drawing import Cell, Drawing


def draw_class_auc(metrics: ClassMetrics) -> Drawing:
    """Draw one row per site, then the mean over sites and all test scans: the classes side by side, then their mean."""
    rows, marks = class_auc_rows(metrics), class_marks(metrics.classes)
    return Drawing(
        name="class_auc",
        title="Test AUC of each class against the rest, federated",
        description="Test AUC of each class against all others with 95% CIs, and the mean of the classes, per site, as "
        "the mean over sites and for all test scans; the table has the same numbers.",
        figure=draw_rows(rows, marks),
        rows=[
            _data(row.name, name, estimate)
            for row in rows
            for name, estimate in zip(marks, row.estimates, strict=True)
            if estimate is not None
        ],
    )


def _data(row: str, name: str, estimate: Estimate) -> dict[str, Cell]:
    return {
        "row": row,
        "class": name,
        "auc": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "mark": estimate.mark,
        "undefined": estimate.undefined,
        "interval": estimate.method,
    }
