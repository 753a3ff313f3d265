"""Columns of a site's table that labels may use: those that it lists, but never one that identifies people."""

import re
from collections.abc import Iterable, Mapping

from fedtune3d.cohorts.inclusion import Included, Wanted
from fedtune3d.federation.privacy.refusal import Refusal

NEVER = ("participant_id", "session_id", "group_id", "scan", "path")
ALWAYS_TELLING = 20
"""Integers that are unique among at least this many people are considered ids; ages would repeat."""
_NUMBER = re.compile(r"[+-]?\d+")
_MEASUREMENT = re.compile(r"[+-]?\d+[.,]\d+")
_LONG_DIGITS = 5


def require_columns(labels: Wanted, allowed: Iterable[str], values: Mapping[str, Mapping[str, set[str]]]) -> None:
    """Check the columns that labels, or a target, and the inclusion criterion use.

    Args:
        labels: Labels or target of the experiment at this site, and its inclusion criterion.
        allowed: `columns` in ``site.yaml``.
        values: Column → person → the values in the tables.

    Raises:
        Refusal: If a column is not listed, or is an identifier.
    """
    listed = tuple(allowed)
    predicted = labels.truth.columns if isinstance(labels, Included) else labels.columns
    for column in labels.columns:
        use = "labels use" if column in predicted else "include uses"
        if column in NEVER or is_identifier(values.get(column, {})):
            raise Refusal(f"{use} the column {column}, which tells people apart; no site.yaml can allow that")
        if column not in listed:
            raise Refusal(f"{use} the column {column}, and `columns` in site.yaml lists {', '.join(listed)}")


def is_identifier(values: Mapping[str, set[str]]) -> bool:
    """Return whether no two people share a value, and the values are not measurements.

    Decimal numbers are measurements, and so are short integers of few people, such as ages.

    Args:
        values: Person → values.
    """
    people = [of_person for of_person in values.values() if of_person]
    every_value = [value for of_person in people for value in of_person]
    if len(people) < 3 or len(set(every_value)) < len(every_value):
        return False
    if any(_MEASUREMENT.fullmatch(value) for value in every_value):
        return False
    if all(_NUMBER.fullmatch(value) for value in every_value):
        return len(people) >= ALWAYS_TELLING or any(len(value) >= _LONG_DIGITS for value in every_value)
    return True
