"""Cross-validated AUC per site, with every fold as a dot."""

from fedtune3d.evaluation.cross_validation import CrossValidationResults
from fedtune3d.report.cross_validation_tables import fold_data, rows_of, shown_methods
from fedtune3d.report.figures.auc_rows import draw_rows
from fedtune3d.report.figures.drawing import METHOD_MARKS, Drawing
from fedtune3d.report.number_formatting import METHODS
from fedtune3d.report.table import AucRow


def draw_fold_aucs(results: CrossValidationResults) -> Drawing | None:
    """Draw a row per site and one for the mean, the methods next to each other; None before the first fold's end."""
    methods = shown_methods(results)
    if not methods:
        return None
    rows = [
        AucRow(
            row.name,
            "mean" if row.name == "Mean" else "site",
            None,
            [row.by_method[name].estimate for name in methods],
            [row.by_method[name].values for name in methods],
        )
        for row in rows_of(results)
    ]
    return Drawing(
        name="fold_aucs",
        title="Cross-validated AUC per site: the mean of the folds with its 95% CI, and each fold",
        description="Mean of the AUCs within folds with its 95% CI per site, and a dot for each fold, "
        + ", ".join(METHODS[name].lower() for name in methods)
        + "; the tables have the same numbers.",
        figure=draw_rows(rows, {METHODS[name]: METHOD_MARKS[name] for name in methods}, "fold"),
        rows=fold_data(results),
    )
