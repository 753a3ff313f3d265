"""Who is included: a criterion that rows of a site's tables must meet, whatever is predicted of them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from pydantic import BeforeValidator

from fedtune3d._utils.ranges import shown
from fedtune3d.cohorts.label_expressions import LabelExpression, Row, parse_label_expression, word_of
from fedtune3d.cohorts.labels import Truth
from fedtune3d.cohorts.records import CRITERION_UNKNOWN, NOT_INCLUDED, Unlabelled


def _criterion(value: object) -> object:
    """Check that a value is an expression that can be parsed."""
    if not isinstance(value, str):
        raise ValueError(f"expected an expression such as 'diagnosis == CN', got {shown(value)}")
    parse_label_expression(value)
    return value


Criterion = Annotated[str, BeforeValidator(_criterion)]
"""A label expression that a row must meet to be included, such as ``diagnosis == CN``."""


@dataclass(frozen=True)
class Included:
    """The outcome predicted for the rows that meet a criterion; all other rows are left out, whatever else they hold.

    Attributes:
        truth: The classes, or the number.
        criterion: The expression that a row must meet.
    """

    truth: Truth
    criterion: str

    @cached_property
    def expression(self) -> LabelExpression:
        """The parsed criterion."""
        return parse_label_expression(self.criterion)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the criterion and the prediction use, each once."""
        return tuple(dict.fromkeys((*self._own_columns, *self.truth.columns)))

    def label(self, row: Row) -> int | Unlabelled:
        """Return the label of a row that meets the criterion, or why there is none."""
        met = self.expression.holds(row)
        if met:
            return self.truth.label(row)
        if met is None:
            missing = {column: row.get(column) is None for column in self._open(row)}
            why = [f"{column} {'missing' if is_missing else 'no number'}" for column, is_missing in missing.items()]
            return Unlabelled(CRITERION_UNKNOWN, ", ".join(why))
        return Unlabelled(NOT_INCLUDED, word_of(row, self.expression.comparisons))

    def number(self, row: Row, where: str) -> float | None:
        """Return the number of a row that meets the criterion; see `NumberColumn.number`."""
        return self.truth.number(row, where) if self.expression.holds(row) else None

    def unreadable(self, row: Row) -> dict[str, str]:
        """Column → value of a row without a label where the value is no number, which its label depends on."""
        met = self.expression.holds(row)
        if met is None:
            return {column: text for column in self._open(row) if (text := row.get(column)) is not None}
        return self.truth.unreadable(row) if met else {}

    @property
    def _own_columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(comparison.column for comparison in self.expression.comparisons))

    def _open(self, row: Row) -> list[str]:
        """List the columns of a row whose comparisons cannot be decided."""
        comparisons = self.expression.comparisons
        return list(dict.fromkeys(comparison.column for comparison in comparisons if comparison.holds(row) is None))

    def __str__(self) -> str:
        return f"{self.truth} where {self.criterion}"


Wanted = Truth | Included
"""The outcome that a site's tables define for a model, and for which rows."""
