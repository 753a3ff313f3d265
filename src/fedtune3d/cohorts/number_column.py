"""A column of a site's tables whose number a model predicts, such as age."""

from dataclasses import dataclass

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.label_expressions import Row, as_number
from fedtune3d.cohorts.records import NO_NUMBER, Unlabelled
from fedtune3d.evaluation.outcome import NumberOutcome


@dataclass(frozen=True)
class NumberColumn:
    """The value of the declared column in a row: a number in its range, or none.

    Attributes:
        outcome: The column, its range and unit, and what a missing value means.
    """

    outcome: NumberOutcome

    @property
    def columns(self) -> tuple[str, ...]:
        """The column."""
        return (self.outcome.column,)

    def label(self, row: Row) -> int | Unlabelled:
        """Return 0, the only stratum, or that there is no number."""
        return Unlabelled(NO_NUMBER, f"{self.outcome.column} missing") if row.get(self.outcome.column) is None else 0

    def number(self, row: Row, where: str) -> float | None:
        """Return the number of a row; None if it is missing and may be.

        Args:
            row: A row of the tables.
            where: File and row, for messages.

        Raises:
            InputError: If the cell is no number or is out of range, or is missing where it must not be.
        """
        outcome, cell = self.outcome, row.get(self.outcome.column)
        expected = f"{where}: expected {outcome.column} from {outcome.minimum:g} to {outcome.maximum:g}"
        if cell is None:
            if outcome.missing == "error":
                raise InputError(f"{expected}, found none; fill it in, or write target.missing: leave_out")
            return None
        number = as_number(cell)
        if number is None:
            raise InputError(f"{expected}, got {cell!r}; correct it, or write n/a for a missing value")
        if not outcome.minimum <= number <= outcome.maximum:
            raise InputError(f"{expected}, got {cell}; correct it, or target.range")
        return number

    def unreadable(self, row: Row) -> dict[str, str]:
        """Return nothing: a cell that is no number stops the run."""
        return {}

    def __str__(self) -> str:
        return f"a number in column {self.outcome.column}"
