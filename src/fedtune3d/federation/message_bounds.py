"""Bounds on every value of a message, whatever its kind: what is outside of them is no answer of this program."""

import dataclasses
from collections.abc import Mapping, Sequence

from pydantic import BaseModel

MAX_INTEGER = 2**53
MAX_NUMBER = 1e100
MAX_TEXT = 500
MAX_VALUES = 5_000_000
MAX_DEPTH = 12


def require_bounded(message: BaseModel) -> None:
    """Check integers, numbers, texts, their count and how deep they are nested.

    Raises:
        ValueError: Naming the field, but not what it holds.
    """
    _Walk().into(message, "", 0)


class _Walk:
    def __init__(self) -> None:
        self.values = 0

    def into(self, value: object, where: str, depth: int) -> None:
        self.values += 1
        if depth > MAX_DEPTH or self.values > MAX_VALUES:
            raise ValueError(f"{where}: more than {MAX_VALUES:,} values, or nested deeper than {MAX_DEPTH}")
        if isinstance(value, bool) or value is None:
            return
        if isinstance(value, int):
            _require(abs(value) <= MAX_INTEGER, where, f"an integer of at most {MAX_INTEGER:,}")
        elif isinstance(value, float):
            _require(abs(value) <= MAX_NUMBER, where, f"a number of at most {MAX_NUMBER:g}")
        elif isinstance(value, str):
            _require(len(value) <= MAX_TEXT and value.isprintable(), where, f"a line of at most {MAX_TEXT} characters")
        else:
            for name, inner in _members(value):
                self.into(name, f"{where} (a name)" if where else "a name", depth)
                self.into(inner, f"{where}.{name[:60]}" if where else name[:60], depth + 1)


def _members(value: object) -> Sequence[tuple[str, object]]:
    if isinstance(value, BaseModel):
        return [(name, getattr(value, name)) for name in type(value).model_fields]
    if dataclasses.is_dataclass(value):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        return [(str(name), inner) for name, inner in value.items()]
    if isinstance(value, list | tuple):
        return [(str(index), inner) for index, inner in enumerate(value)]
    raise ValueError(f"no value of a message: {type(value).__name__}")


def _require(holds: bool, where: str, expected: str) -> None:
    if not holds:
        raise ValueError(f"{where}: expected {expected}")
