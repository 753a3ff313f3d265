"""Checks of a rule's options, for its ``__post_init__``."""

import math
from collections.abc import Iterable
from typing import Any

from fedtune3d._utils.errors import InputError
from fedtune3d.aggregation.contract import Rule


def require_number(
    rule: Rule,
    key: str,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
    whole: bool = False,
) -> None:
    """Raise `InputError` unless the option is a finite number (a whole one where asked) within the bounds."""
    value = getattr(rule, key)
    types = (int,) if whole else (int, float)
    good = isinstance(value, types) and not isinstance(value, bool) and math.isfinite(value)
    if not (good and least <= value <= most and above < value < below):
        bounds = [("of at least", least), ("above", above), ("of at most", most), ("below", below)]
        wanted = " and ".join(f"{word} {bound:g}" for word, bound in bounds if math.isfinite(bound))
        raise _refusal(rule, key, f"a {'whole ' if whole else ''}number {wanted}".rstrip(), value)


def require_choice(rule: Rule, key: str, choices: Iterable[str]) -> None:
    """Raise `InputError` unless the option is one of the choices."""
    value = getattr(rule, key)
    if value not in list(choices):
        raise _refusal(rule, key, f"one of {', '.join(choices)}", value)


def require_flag(rule: Rule, key: str) -> None:
    """Raise `InputError` unless the option is true or false."""
    value = getattr(rule, key)
    if not isinstance(value, bool):
        raise _refusal(rule, key, "true or false", value)


def _refusal(rule: Rule, key: str, wanted: str, value: Any) -> InputError:
    return InputError(f"rule {rule.name}: {key}: expected {wanted}, got {value!r}")
