"""A cross-validated measure per site, with every fold as a dot; and the errors of numbers out of fold."""

from fedtune3d.evaluation.cross_validation import CrossValidationResults, MeasureName
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.report.cross_validation_tables import fold_data, pooled_residuals, rows_of, shown_methods
from fedtune3d.report.figures.auc_rows import draw_rows
from fedtune3d.report.figures.drawing import METHOD_MARKS, Drawing
from fedtune3d.report.figures.residuals import residual_figure, residual_rows
from fedtune3d.report.number_formatting import METHODS
from fedtune3d.report.shown_measure import shown_measure
from fedtune3d.report.table import AucRow

FIGURES: dict[MeasureName, str] = {
    "auc": "fold_aucs",
    "macro_auc": "fold_macro_aucs",
    "mae": "fold_errors",
    "r_squared": "fold_r_squared",
}
"""Measure → the name of its figure's files."""


def draw_fold_values(results: CrossValidationResults, name: MeasureName) -> Drawing | None:
    """Draw a row per site and one for the mean, the methods next to each other; None before the first fold's end."""
    methods = shown_methods(results)
    if not methods:
        return None
    rows = [
        AucRow(
            row.name,
            "mean" if row.name == "Mean" else "site",
            None,
            [row.by_method[method].estimate for method in methods],
            [row.by_method[method].values for method in methods],
        )
        for row in rows_of(results, name)
    ]
    measure = shown_measure(name, results.outcome)
    return Drawing(
        name=FIGURES[name],
        title=f"Cross-validated {measure.name} per site: the mean of the folds with its 95% CI, and each fold",
        description=f"Mean of the {measure.plural} within folds with its 95% CI per site, and a dot for each fold, "
        + ", ".join(METHODS[method].lower() for method in methods)
        + "; the tables have the same numbers.",
        figure=draw_rows(rows, {METHODS[method]: METHOD_MARKS[method] for method in methods}, "fold", measure),
        rows=fold_data(results),
    )


def draw_errors_out_of_fold(results: CrossValidationResults) -> Drawing | None:
    """Draw the mean error of the federated models out of fold by range of the true number; None if there are none."""
    bins, outcome = pooled_residuals(results), results.outcome
    if not bins or not isinstance(outcome, NumberOutcome):
        return None
    return Drawing(
        name="errors_out_of_fold",
        title=f"Errors out of fold by true {outcome.column}, federated",
        description=f"Predicted minus true {outcome.column} of everybody, each predicted by the model that was trained "
        "without them, in the first repeat: mean ± one standard deviation by range of the true number.",
        figure=residual_figure(bins, outcome.column, outcome.unit),
        rows=residual_rows(bins),
    )
