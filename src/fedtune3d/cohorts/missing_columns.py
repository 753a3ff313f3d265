"""The columns `age` and `sex`, which a site's tables need not have: what is lost without them, and what to rename."""

import re
from collections.abc import Iterable

LOST = {
    "age": "no subgroups by age and no test of age as a predictor of the label",
    "sex": "no subgroups by sex",
}
"""Optional column → what is lost without it."""
_WORDS = {"age": ("age", "ages"), "sex": ("sex", "gender", "ptgender")}


def missing_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """Return which of `age` and `sex` are not among the columns of a site's tables."""
    present = set(columns)
    return tuple(column for column in LOST if column not in present)


def missing_columns_line(columns: Iterable[str]) -> str:
    """Return one line on the missing columns, such as ``no column sex (found gender): rename it; without it …``.

    Empty if none is missing.
    """
    columns = list(columns)
    missing = missing_columns(columns)
    if not missing:
        return ""
    similar = [name for column in missing for name in columns if _is_similar(name, column)]
    noun, them = ("column", "it") if len(missing) == 1 else ("columns", "them")
    rename = f" (found {', '.join(similar)}): rename {'it' if len(similar) == 1 else 'them'}" if similar else ""
    lost = ", ".join(LOST[column] for column in missing)
    return f"no {noun} {', '.join(missing)}{rename}; without {them}: {lost}"


def _is_similar(name: str, column: str) -> bool:
    """Return whether a name has a word for the column in it: ``age_years``, ``AgeAtScan``, ``Gender``."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    return any(word.lower() in _WORDS[column] for word in words)
