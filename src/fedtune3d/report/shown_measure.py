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
        criterion: The name of what models are compared by on validation scans, where that is another measure.
    """

    key: str
    short: str
    name: str
    plural: str
    unit: str = ""
    reference: float | None = None
    reference_name: str = ""
    is_error: bool = False
    criterion: str = ""

    @property
    def validation(self) -> str:
        """The name of the score on validation scans, in a sentence."""
        return self.criterion or self.name

    @property
    def validation_head(self) -> str:
        """The score on validation scans with its unit, within a table's head: `RMSE (years)`."""
        return self.head.replace(self.short, "RMSE") if self.criterion else self.head

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


RMSE_NAME = "root mean squared error"


@dataclass(frozen=True)
class ValidationMeasure:
    """The measure by which rounds are compared on validation scans.

    Attributes:
        name: Its short name: ``AUC``, ``RMSE`` or ``loss``.
        unit: Its unit; empty if it has none.
        factor: The ledger's value times this is the shown one.
        digits: Decimals that are shown.
    """

    name: str
    unit: str = ""
    factor: float = 1.0
    digits: int = 3

    @property
    def head(self) -> str:
        """The name with its unit: `RMSE (years)`."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def shown(self, value: float) -> str:
        """Format a value of the ledger with its unit: `RMSE 5.21 years`."""
        return f"{self.name} {value * self.factor:.{self.digits}f} {self.unit}".rstrip()


def validation_measure(outcome: Outcome, has_auc: bool) -> ValidationMeasure:
    """Return what rounds are compared by: AUC if any site has one, the error of a number in its unit, or else loss."""
    if has_auc:
        return ValidationMeasure("AUC", digits=2)
    if isinstance(outcome, NumberOutcome):
        return ValidationMeasure("RMSE", outcome.unit, outcome.span, digits=2)
    return ValidationMeasure("loss")


def absolute_error(unit: str) -> ShownMeasure:
    """Return the mean absolute error in a unit."""
    return ShownMeasure(
        "mae", "MAE", "mean absolute error", "mean absolute errors", unit, is_error=True, criterion=RMSE_NAME
    )


def main_measure(outcome: Outcome) -> ShownMeasure:
    """Return the main measure of an outcome: AUC, macro AUC or mean absolute error."""
    if isinstance(outcome, NumberOutcome):
        return absolute_error(outcome.unit)
    return AUC if outcome.is_binary else MACRO_AUC


def shown_measure(name: MeasureName, outcome: Outcome) -> ShownMeasure:
    """Return a measure of a cross-validation."""
    return R_SQUARED if name == "r_squared" else main_measure(outcome)
