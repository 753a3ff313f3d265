"""Ranges of numbers in user input, and the check of a dataclass against the types of its fields.

Every range is finite: a value outside it is a mistake, and is refused before it can crash a process.
"""

import dataclasses
import types
import typing
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import annotated_types
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from fedtune3d._utils.errors import InputError


def _no_boolean(value: object) -> object:
    """Refuse true and false, which Python counts as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(
            f"expected a number, got {str(value).lower()}, which is also how YAML reads yes, no, on and off"
        )
    return value


Whole = Annotated[int, BeforeValidator(_no_boolean)]
"""A whole number in a configuration."""

Number = Annotated[float, BeforeValidator(_no_boolean)]
"""A number in a configuration."""

Count = Annotated[Whole, Field(ge=1, le=100_000)]
"""A count of at least 1."""

CountOrZero = Annotated[Whole, Field(ge=0, le=100_000)]
"""A count of at least 0."""

Positive = Annotated[Number, Field(gt=0, le=1e9, allow_inf_nan=False)]
"""A number above 0."""

NonNegative = Annotated[Number, Field(ge=0, le=1e9, allow_inf_nan=False)]
"""A number of at least 0."""

LearningRate = Annotated[Number, Field(gt=0, le=1e6, allow_inf_nan=False)]
"""A step size of an optimiser."""

Probability = Annotated[Number, Field(ge=0, le=1, allow_inf_nan=False)]
"""From 0 to 1, inclusive."""

BelowOne = Annotated[Number, Field(ge=0, lt=1, allow_inf_nan=False)]
"""From 0 to below 1."""

Fraction = Annotated[Number, Field(ge=1e-6, le=1, allow_inf_nan=False)]
"""A fraction above 0, at most 1."""


def require_valid_fields(instance: object, prefix: str) -> None:
    """Check the fields of a dataclass against their types, with ranges; nothing is converted.

    Args:
        instance: A dataclass whose fields have types such as those above.
        prefix: Prefix of the field's name in messages, such as ``rule fedprox: `` or ``lora.``.

    Raises:
        InputError: If a field is invalid, with the first such field, what was expected and what was found.
    """
    checks = _checks(type(instance))  # type: ignore[arg-type]  # a type is hashable
    for name, (adapter, expected) in checks.items():
        value = getattr(instance, name)
        try:
            adapter.validate_python(value, strict=True)
        except ValidationError:
            raise InputError(f"{prefix}{name}: expected {expected}, got {shown(value)}") from None


def shown(value: object) -> str:
    """Return a value's text for a one-line message, at most 100 characters, also for very long integers."""
    try:
        text = repr(value)
    except ValueError:  # Python does not convert integers with more than 4,300 digits
        return "a number with thousands of digits"
    return text if len(text) <= 100 else f"{text[:60]}… ({len(text)} characters)"


@lru_cache(maxsize=256)
def _checks(kind: type) -> dict[str, tuple[TypeAdapter[Any], str]]:
    hints = typing.get_type_hints(kind, include_extras=True)
    names = [field.name for field in dataclasses.fields(kind) if field.init]
    config = ConfigDict(allow_inf_nan=False, arbitrary_types_allowed=True)
    return {name: (TypeAdapter(hints[name], config=config), describe_type(hints[name])) for name in names}


def describe_type(hint: Any) -> str:
    """Describe the type of a configuration key: ``a whole number from 1 to 100000``, ``one of a, b``."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return f"{describe_type(arguments[0])} {_bounds(arguments[1:])}".rstrip()
    if origin is typing.Literal:
        return f"one of {', '.join(str(choice) for choice in arguments)}"
    if origin is tuple:
        return f"a list, each entry {describe_type(arguments[0])}".replace("a list, each entry one of", "any of")
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe_type(argument) for argument in arguments)
    if origin is dict:
        return "keys and values"
    return _WORDS.get(hint, getattr(hint, "__name__", str(hint)))


_WORDS: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    Path: "a path",
    types.NoneType: "null",
}


def _bounds(metadata: tuple[Any, ...]) -> str:
    """Describe the bounds in a field's metadata: ``from 0 to 1``, ``above 0 and at most 1e+09``."""
    constraints = [constraint for entry in metadata for constraint in (getattr(entry, "metadata", None) or (entry,))]
    low = high = step = ""
    for constraint in constraints:
        match constraint:
            case annotated_types.Ge(ge=bound):
                low = f"from {readable_number(bound)}"
            case annotated_types.Gt(gt=bound):
                low = f"above {readable_number(bound)}"
            case annotated_types.Le(le=bound):
                high = f"to {readable_number(bound)}"
            case annotated_types.Lt(lt=bound):
                high = f"to below {readable_number(bound)}"
            case annotated_types.MultipleOf(multiple_of=bound):
                step = f", a multiple of {bound}"
            case annotated_types.MinLen(min_length=bound):
                low = f"(at least {bound})"
            case _:
                continue
    if low.startswith("above") and high:
        return f"{low} and {high.replace('to below', 'below').replace('to ', 'at most ')}{step}"
    return f"{low} {high}".strip() + step


def readable_number(bound: Any) -> str:
    """Format a bound, such as `1,000,000` or `0.000001`, without an exponent where that is readable."""
    return f"{bound:,.6f}".rstrip("0").rstrip(".") if 1e-6 <= abs(bound) < 1e12 else f"{bound:g}"
