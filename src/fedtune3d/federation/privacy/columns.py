"""Which columns of a site's table labels may use: those it lists, and never one that tells people apart."""

import re
from collections.abc import Iterable, Mapping

from fedtune3d.cohorts.records import LabelMapping
from fedtune3d.federation.privacy.refusal import Refusal

NEVER = ("participant_id", "session_id", "group_id", "scan", "path")
ALWAYS_TELLING = 20
"""Whole numbers that differ for each of so many people are taken for ids; ages of so many people repeat."""
_NUMBER = re.compile(r"[+-]?\d+")
_MEASUREMENT = re.compile(r"[+-]?\d+[.,]\d+")
_LONG_DIGITS = 5


def require_columns(labels: LabelMapping, allowed: Iterable[str], values: Mapping[str, Mapping[str, set[str]]]) -> None:
    """Check the columns that labels use.

    Args:
        labels: Of the experiment, for this site.
        allowed: `columns` in ``site.yaml``.
        values: Column → person → the values that the tables give.

    Raises:
        Refusal: Where a column is not listed, or is an identifier.
    """
    listed = tuple(allowed)
    for column in labels.columns:
        if column in NEVER or is_identifier(values.get(column, {})):
            raise Refusal(f"labels use the column {column}, which tells people apart; no site.yaml can allow that")
        if column not in listed:
            raise Refusal(f"labels use the column {column}, and `columns` in site.yaml lists {', '.join(listed)}")


def is_identifier(values: Mapping[str, set[str]]) -> bool:
    """Whether no two people share a value, and the values are no measurements.

    Numbers with decimals are measurements, and so are short whole numbers of few people, such as ages.

    Args:
        values: Person → values.
    """
    people = [own for own in values.values() if own]
    each = [value for own in people for value in own]
    if len(people) < 3 or len(set(each)) < len(each):
        return False
    if any(_MEASUREMENT.fullmatch(value) for value in each):
        return False
    if all(_NUMBER.fullmatch(value) for value in each):
        return len(people) >= ALWAYS_TELLING or any(len(value) >= _LONG_DIGITS for value in each)
    return True
