"""The figures of a run that predicts one of three or more classes, or a number."""

from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.report.figures.class_auc import draw_class_auc
from fedtune3d.report.figures.class_roc import draw_class_roc
from fedtune3d.report.figures.confusion_matrix import draw_confusion_matrix
from fedtune3d.report.figures.corrected_gap import draw_corrected_gap
from fedtune3d.report.figures.drawing import Drawing
from fedtune3d.report.figures.predicted_numbers import draw_predicted_numbers
from fedtune3d.report.figures.residuals import draw_residuals


def draw_outcome(metrics: RunMetrics) -> list[Drawing]:
    """Draw what there is to draw of the federated model's test scans; nothing for two classes."""
    drawn: list[Drawing | None] = []
    if (classes := metrics.class_methods.get("federated")) is not None:
        drawn += [draw_class_auc(classes), draw_confusion_matrix(classes), draw_class_roc(classes)]
    if (numbers := metrics.number_methods.get("federated")) is not None:
        assert isinstance(metrics.outcome, NumberOutcome)
        target = metrics.outcome.column, metrics.outcome.unit
        drawn += [draw(numbers, *target) for draw in (draw_predicted_numbers, draw_residuals, draw_corrected_gap)]
    return [drawing for drawing in drawn if drawing is not None]
