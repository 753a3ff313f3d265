"""How to read the tables of three or more classes, or of a number."""

from fedtune3d.evaluation.estimate import FEW
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.outcome import NumberOutcome, Outcome
from fedtune3d.report.class_tables import class_methods
from fedtune3d.report.number_tables import number_methods


def reading_lines(outcome: Outcome) -> list[str]:
    """Explain signs, rows and measures, a sentence or two each."""
    number = isinstance(outcome, NumberOutcome)
    few = f"fewer than {FEW} people" + ("" if number else " in a class")
    return [
        "Square brackets contain 95% confidence intervals.",
        f"few under a table: rows based on {few}.",
        "–: none, or not known here. held back: a number so small that its site's policy does not let it leave "
        "(min_people), or one that would give such a number away.",
        "Mean: the unweighted mean over sites. Pooled: all sites' test scans together.",
        *(_of_number(outcome.column) if isinstance(outcome, NumberOutcome) else _of_classes(len(outcome.names))),
    ]


def _of_number(target: str) -> list[str]:
    return [
        f"MAE and RMSE: mean absolute error and root mean squared error; lower is better. Bias: predicted minus true "
        f"{target}.",
        f"R²: 1 is perfect; 0 is what predicting the mean {target} for everybody gives; below 0 is worse than that.",
        f"Calibration slope and intercept: of the regression of the true on the predicted {target}; 1 and 0 are ideal. "
        "They are not shown where predictions hardly vary, as the slope then grows without limit, or where the slope's "
        "interval is so wide that it tells nothing. metrics.json has them all the same.",
    ]


def _of_classes(count: int) -> list[str]:
    return [
        "Macro AUC: the mean of the AUCs of each class against the others. Pairwise AUC (M): the mean over pairs of "
        "classes (Hand and Till 2001). Chance gives 0.50.",
        f"Balanced accuracy: the mean of the classes' sensitivities; guessing gives {1 / count:.2f}.",
        f"Log loss and Brier score: errors of the probabilities; lower is better. Giving every class a probability of "
        f"1/{count} has a log loss of ln {count} and a Brier score of {1 - 1 / count:.2f}.",
    ]


def outcome_methods(metrics: RunMetrics) -> set[str]:
    """Return the methods behind the CIs of the federated model's tables; none for two classes."""
    if (classes := metrics.class_methods.get("federated")) is not None:
        return class_methods(classes)
    if (numbers := metrics.number_methods.get("federated")) is not None:
        return number_methods(numbers)
    return set()
