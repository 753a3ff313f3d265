"""The parts of a site's cohort: scans with label, person and group, and exclusions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.ranges import shown
from fedtune3d.cohorts.label_expressions import LabelExpression, one_of, parse_label_expression
from fedtune3d.cohorts.warnings import ReadingWarning

DIAGNOSIS = "diagnosis"

NO_SCAN = "no T1w scan"
NO_ROW = "not in the table"
NOT_CHOSEN = "session not chosen"
FURTHER_SCAN = "further T1w scan of a session"
LABEL_UNKNOWN = "label not known"
OTHER_LABEL = "neither positive nor negative"
BOTH_LABELS = "both positive and negative"
FAULT = "scan at fault"
REASONS = (NO_ROW, NO_SCAN, NOT_CHOSEN, FURTHER_SCAN, LABEL_UNKNOWN, OTHER_LABEL, BOTH_LABELS, FAULT)
"""Reasons for exclusion, in the order in which they are checked."""


@dataclass(frozen=True)
class Unlabelled:
    """A row without a label: one of `REASONS`, and a detail from the site's table."""

    reason: str
    detail: str


def _diagnoses(value: object) -> object:
    """Check a label expression or a list of diagnoses; pydantic checks the rest."""
    if isinstance(value, str):
        parse_label_expression(value)
        return value
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(
            f"expected a list of diagnoses such as [AD], or an expression such as 'cdr >= 1', got {shown(value)}"
        )
    for diagnosis in value:
        if isinstance(diagnosis, bool) or not isinstance(diagnosis, str | int | float):
            raise ValueError(f"expected diagnoses as text, got {shown(diagnosis)}; put it in quotes, such as 'yes'")
    return value


Diagnoses = Annotated[tuple[str, ...] | str, BeforeValidator(_diagnoses)]


@dataclass(frozen=True)
class LabelMapping:
    """Definition of the positive (label 1) and negative (label 0) classes; everything else is left out.

    Each is a list of values of the column ``diagnosis``, compared as written in the table, or a label expression on any
    columns such as ``cdr >= 1`` (see `label_expressions`). Raises `InputError` if a list is empty, a value is in both
    lists, or an expression cannot be parsed.

    Attributes:
        positive: Diagnoses of the positive class, or an expression.
        negative: Diagnoses of the negative class, or an expression.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    positive: Diagnoses
    negative: Diagnoses

    def __post_init__(self) -> None:
        for name, diagnoses in (("positive", self.positive), ("negative", self.negative)):
            if not diagnoses:
                raise InputError(f"{name}: expected at least one diagnosis value, got none; name one")
        if isinstance(self.positive, tuple) and isinstance(self.negative, tuple):
            both = sorted(set(self.positive) & set(self.negative))
            if both:
                raise InputError(f"{', '.join(both)} is in both positive and negative; keep it in one of them")
        _ = self.expressions

    @cached_property
    def expressions(self) -> tuple[LabelExpression, LabelExpression]:
        """The expression that makes a row positive, and the one that makes it negative."""
        return _expression(self.positive), _expression(self.negative)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the expressions use, each once."""
        return tuple(
            dict.fromkeys(comparison.column for expression in self.expressions for comparison in expression.comparisons)
        )

    def label(self, row: Mapping[str, str | None]) -> int | Unlabelled:
        """Return 1, 0, or why there is no label. A row known to be positive need not be known to be not negative."""
        positive, negative = (expression.holds(row) for expression in self.expressions)
        if positive and negative:
            return Unlabelled(BOTH_LABELS, "")
        if positive or negative:
            return int(bool(positive))
        if positive is None or negative is None:
            return Unlabelled(LABEL_UNKNOWN, ", ".join(self._unknown(row)))
        return Unlabelled(OTHER_LABEL, f"{DIAGNOSIS} {row[DIAGNOSIS]}" if self.columns == (DIAGNOSIS,) else "")

    def __str__(self) -> str:
        positive, negative = (
            classes if isinstance(classes, str) else ", ".join(classes) for classes in (self.positive, self.negative)
        )
        return f"positive ({positive}) or negative ({negative})"

    def unreadable(self, row: Mapping[str, str | None]) -> dict[str, str]:
        """Column → value of a row without a label where the value is no number, which its label depends on."""
        if not isinstance(self.label(row), Unlabelled):
            return {}
        return {column: text for column in self._unknown_columns(row) if (text := row.get(column)) is not None}

    def _unknown(self, row: Mapping[str, str | None]) -> list[str]:
        """List why columns cannot be evaluated, such as ``cdr missing`` or ``mmse no number``."""
        columns = self._unknown_columns(row)
        return [f"{column} {'missing' if row.get(column) is None else 'no number'}" for column in columns]

    def _unknown_columns(self, row: Mapping[str, str | None]) -> list[str]:
        comparisons = [comparison for expression in self.expressions for comparison in expression.comparisons]
        return list(dict.fromkeys(comparison.column for comparison in comparisons if comparison.holds(row) is None))


def _expression(diagnoses: tuple[str, ...] | str) -> LabelExpression:
    return parse_label_expression(diagnoses) if isinstance(diagnoses, str) else one_of(DIAGNOSIS, diagnoses)


@dataclass(frozen=True)
class ScanRecord:
    """A T1-weighted scan of a person.

    `participant_id` starts with ``sub-`` and `session_id` with ``ses-`` (or is empty if the person has no session
    folders), however they are written in the table. People with the same `group_id` must be in the same split; it
    defaults to the participant's id.
    """

    site: str
    participant_id: str
    session_id: str
    path: Path
    label: int
    group_id: str
    group_declared: bool
    age: float | None
    sex: str | None
    diagnosis: str | None

    @property
    def name(self) -> str:
        """Participant and session in BIDS notation, such as ``sub-01_ses-M00``."""
        return scan_name(self.participant_id, self.session_id)


def scan_name(participant: str, session: str) -> str:
    """The name of a person's scan at a session, which is empty where there are no sessions."""
    return f"{participant}_{session}" if session else participant


@dataclass(frozen=True)
class Exclusion:
    """Scans of a person (or, with 0 scans, the person) left out for one of `REASONS`."""

    participant_id: str
    reason: str
    detail: str
    scans: int


@dataclass(frozen=True)
class Cohort:
    """The usable scans of a site, sorted by participant and session; the exclusions; and warnings."""

    site: str
    records: tuple[ScanRecord, ...]
    exclusions: tuple[Exclusion, ...] = ()
    warnings: tuple[ReadingWarning, ...] = ()

    def without(self, leaves_out: Callable[[str], bool]) -> "Cohort":
        """Return the cohort as if the tables had never named some participants."""
        return replace(
            self,
            records=tuple(record for record in self.records if not leaves_out(record.participant_id)),
            exclusions=tuple(entry for entry in self.exclusions if not leaves_out(entry.participant_id)),
        )
