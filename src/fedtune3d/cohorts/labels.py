"""Definitions of classes: from a row of a site's table to the index of its class."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, ConfigDict

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.ranges import shown
from fedtune3d._utils.strict import text_field
from fedtune3d.cohorts.label_expressions import (
    Comparison,
    LabelExpression,
    Row,
    one_of,
    parse_label_expression,
    word_of,
)
from fedtune3d.cohorts.number_column import NumberColumn
from fedtune3d.cohorts.records import (
    BOTH_LABELS,
    DIAGNOSIS,
    LABEL_UNKNOWN,
    NO_CLASS,
    OTHER_LABEL,
    SEVERAL_CLASSES,
    Unlabelled,
)
from fedtune3d.evaluation.outcome import NEGATIVE, POSITIVE, ClassOutcome

MAX_CLASSES = 20
RESERVED = ("everyone", "all", "train", "validation", "test", "pooled", "mean")
"""Names that mean something else where people are counted, or in tables."""
ClassName = Annotated[
    str,
    text_field(
        r"^[A-Za-z0-9][A-Za-z0-9 _.+-]{0,39}$",
        "at most 40 letters, digits, spaces and any of _.+-, beginning with a letter or digit",
    ),
]


def _diagnoses(value: object) -> object:
    """Check a label expression or a list of diagnoses; pydantic checks the rest."""
    if isinstance(value, str):
        parse_label_expression(value)
        return value
    if not isinstance(value, list | tuple) or not value:
        got = "nothing; fill it in" if value is None else shown(value)
        raise ValueError(f"expected a list of diagnoses such as [AD], or an expression such as 'cdr >= 1', got {got}")
    for diagnosis in value:
        if isinstance(diagnosis, bool) or not isinstance(diagnosis, str | int | float):
            raise ValueError(f"expected diagnoses as text, got {shown(diagnosis)}; put it in quotes, such as 'yes'")
    return value


Diagnoses = Annotated[tuple[str, ...] | str, BeforeValidator(_diagnoses)]


class Labels:
    """Definition of the classes by a label expression each; what it makes of a row.

    Attributes:
        no_class: The reason if a row is in no class.
        several_classes: The reason if it is in more than one.
    """

    no_class: ClassVar[str] = NO_CLASS
    several_classes: ClassVar[str] = SEVERAL_CLASSES

    @property
    def classes(self) -> Mapping[str, tuple[str, ...] | str]:
        """Class → its diagnoses or expression, in the order of labels."""
        raise NotImplementedError

    @property
    def outcome(self) -> ClassOutcome:
        """The outcome of a model trained on these labels."""
        return ClassOutcome(tuple(self.classes))

    @cached_property
    def expressions(self) -> tuple[LabelExpression, ...]:
        """The expression of each class, in the order of labels."""
        return tuple(map(_expression, self.classes.values()))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the expressions use, each once."""
        return tuple(dict.fromkeys(comparison.column for comparison in self._comparisons()))

    def label(self, row: Row) -> int | Unlabelled:
        """Return the index of the row's class, or why there is none.

        A row known to be in one class need not be known to be in no other.
        """
        holds = [expression.holds(row) for expression in self.expressions]
        if holds.count(True) > 1:
            return Unlabelled(self.several_classes, "")
        if True in holds:
            return holds.index(True)
        if None in holds:
            return Unlabelled(LABEL_UNKNOWN, ", ".join(self._unknown(row)))
        return Unlabelled(self.no_class, word_of(row, self._comparisons()))

    def number(self, row: Row, where: str) -> float | None:
        """Return None: a class is no number."""
        return None

    def unreadable(self, row: Row) -> dict[str, str]:
        """Column → value of a row without a label where the value is no number, which its label depends on."""
        if not isinstance(self.label(row), Unlabelled):
            return {}
        return {column: text for column in self._unknown_columns(row) if (text := row.get(column)) is not None}

    def _comparisons(self) -> Iterator[Comparison]:
        return (comparison for expression in self.expressions for comparison in expression.comparisons)

    def _unknown(self, row: Row) -> list[str]:
        """List why columns cannot be evaluated, such as ``cdr missing`` or ``mmse no number``."""
        columns = self._unknown_columns(row)
        return [f"{column} {'missing' if row.get(column) is None else 'no number'}" for column in columns]

    def _unknown_columns(self, row: Row) -> list[str]:
        comparisons = self._comparisons()
        return list(dict.fromkeys(comparison.column for comparison in comparisons if comparison.holds(row) is None))


@dataclass(frozen=True)
class LabelMapping(Labels):
    """Definition of the positive (label 1) and negative (label 0) classes; everything else is left out.

    Each is a list of values of the column ``diagnosis``, compared as written in the table, or a label expression on any
    columns such as ``cdr >= 1`` (see `label_expressions`). Raises `InputError` if a list is empty, a value is in both
    lists, or an expression cannot be parsed.

    Attributes:
        positive: Diagnoses of the positive class, or an expression.
        negative: Diagnoses of the negative class, or an expression.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
    no_class: ClassVar[str] = OTHER_LABEL
    several_classes: ClassVar[str] = BOTH_LABELS

    positive: Diagnoses
    negative: Diagnoses

    def __post_init__(self) -> None:
        _require_apart({"positive": self.positive, "negative": self.negative})
        _ = self.expressions

    @property
    def classes(self) -> Mapping[str, tuple[str, ...] | str]:
        """The negative class, then the positive one."""
        return {NEGATIVE: self.negative, POSITIVE: self.positive}

    def __str__(self) -> str:
        return f"positive ({_listed(self.positive)}) or negative ({_listed(self.negative)})"

    def _comparisons(self) -> Iterator[Comparison]:
        """Yield those of the positive class first, as they are written."""
        return (comparison for expression in self.expressions[::-1] for comparison in expression.comparisons)


@dataclass(frozen=True)
class ClassMapping(Labels):
    """Definition of two or more classes by name; everything else is left out. The order of names is that of labels.

    Raises `InputError` if there are fewer than two classes, names differ in nothing but case, or as `LabelMapping`.

    Attributes:
        definitions: Class → its diagnoses, or an expression.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
    keys_are_names: ClassVar[bool] = True

    definitions: dict[ClassName, Diagnoses]

    def __post_init__(self) -> None:
        if not 2 <= len(self.definitions) <= MAX_CLASSES:
            named = ", ".join(self.definitions) or "none"
            raise InputError(f"expected 2 to {MAX_CLASSES} classes, got {named}; name each with its diagnoses")
        if reserved := [name for name in self.definitions if name.casefold() in RESERVED]:
            raise InputError(f"{reserved[0]} is no name for a class, as it means something else; rename it")
        if len({name.casefold() for name in self.definitions}) < len(self.definitions):
            raise InputError(f"names of classes must differ in more than case, got {', '.join(self.definitions)}")
        _require_apart(self.definitions)
        _ = self.expressions

    @property
    def classes(self) -> Mapping[str, tuple[str, ...] | str]:
        """The classes as they are written."""
        return self.definitions

    def __str__(self) -> str:
        return " or ".join(f"{name} ({_listed(wanted)})" for name, wanted in self.definitions.items())

    @staticmethod
    def read(value: object) -> object:
        """Convert a mapping of names, or a list of mappings with one name each, to the fields of this class."""
        if isinstance(value, list | tuple):
            if not all(isinstance(entry, Mapping) and len(entry) == 1 for entry in value):
                raise ValueError("expected a name with its diagnoses in each entry, such as - CN: [CN]")
            pairs = [(name, wanted) for entry in value for name, wanted in entry.items()]
            if len(dict(pairs)) < len(pairs):
                raise ValueError("expected each class once; remove the repeated one")
            value = dict(pairs)
        return {"definitions": value} if isinstance(value, Mapping) else value

    def written(self) -> list[dict[str, list[str] | str]]:
        """Return the classes as a list, whose order survives where keys are sorted; `read` reads it."""
        return [
            {name: wanted if isinstance(wanted, str) else list(wanted)} for name, wanted in self.definitions.items()
        ]


def _require_apart(classes: Mapping[str, tuple[str, ...] | str]) -> None:
    """Raise `InputError` if a class has no diagnosis, or one that another class has, too."""
    owners: dict[str, str] = {}
    for name, diagnoses in classes.items():
        if not diagnoses:
            raise InputError(f"{name}: expected at least one diagnosis value, got none; name one")
        for diagnosis in sorted(set(diagnoses)) if isinstance(diagnoses, tuple) else ():
            if (other := owners.setdefault(diagnosis, name)) != name:
                both = sorted(value for value in diagnoses if owners.get(value) == other)
                raise InputError(f"{', '.join(both)} is in both {other} and {name}; keep it in one of them")


def _listed(diagnoses: tuple[str, ...] | str) -> str:
    return diagnoses if isinstance(diagnoses, str) else ", ".join(diagnoses)


def _expression(diagnoses: tuple[str, ...] | str) -> LabelExpression:
    return parse_label_expression(diagnoses) if isinstance(diagnoses, str) else one_of(DIAGNOSIS, diagnoses)


Truth = Labels | NumberColumn
"""The outcome that a site's tables define for a model."""
