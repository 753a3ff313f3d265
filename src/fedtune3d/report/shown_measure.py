"""How tables, sentences and axes name a measure of test scans, by what the model predicts."""

from dataclasses import dataclass

from fedtune3d.evaluation.cross_validation import MeasureName
from fedtune3d.evaluation.outcome import NumberOutcome, Outcome


@dataclass(frozen=True)
class ShownMeasure:
    """A measure of test scans.

    Attributes:
        key: Its column in tables of data, such as ``auc``.
        short: Its name within heads of tables and on axes, such as ``AUC``.
        name: Its name in a sentence.
        plural: Its name for several values.
        unit: Its unit; empty if it has none.
        reference: The value that figures mark with a dashed line; None if there is none.
        reference_name: What that value stands for.
        is_error: Whether lower is better, without an upper limit.
    """

    key: str
    short: str
    name: str
    plural: str
    unit: str = ""
    reference: float | None = None
    reference_name: str = ""
    is_error: bool = False

    @property
    def head(self) -> str:
        """The name with its unit, within a table's head: `MAE (years)`."""
        return f"{self.short} ({self.unit})" if self.unit else self.short

    @property
    def title(self) -> str:
        """The same at the beginning of a text: `Macro AUC`."""
        return self.head[:1].upper() + self.head[1:]


AUC = ShownMeasure("auc", "AUC", "AUC", "AUCs", reference=0.5, reference_name="chance")
MACRO_AUC = ShownMeasure("macro_auc", "macro AUC", "macro AUC", "macro AUCs", reference=0.5, reference_name="chance")
R_SQUARED = ShownMeasure(
    "r_squared", "R²", "R²", "values of R²", reference=0.0, reference_name="the mean of the true numbers"
)


def absolute_error(unit: str) -> ShownMeasure:
    """Return the mean absolute error in a unit."""
    return ShownMeasure("mae", "MAE", "mean absolute error", "mean absolute errors", unit, is_error=True)


def main_measure(outcome: Outcome) -> ShownMeasure:
    """Return the main measure of an outcome: AUC, macro AUC or mean absolute error."""
    if isinstance(outcome, NumberOutcome):
        return absolute_error(outcome.unit)
    return AUC if outcome.is_binary else MACRO_AUC


def shown_measure(name: MeasureName, outcome: Outcome) -> ShownMeasure:
    """Return a measure of a cross-validation."""
    return R_SQUARED if name == "r_squared" else main_measure(outcome)
