"""Strict conversion of frozen dataclasses to JSON and back: damaged or outdated values are refused."""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from fedtune3d._utils.errors import DamagedFileError, InputError
from fedtune3d._utils.json_values import Json
from fedtune3d._utils.sealed import read_sealed_json, write_sealed_json

T = TypeVar("T")

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def to_json(value: object) -> dict[str, Json]:
    """Convert a dataclass, or a mapping to dataclasses, to a JSON object; tuples become lists, numbers keep all bits.

    Raises:
        TypeError: If the value is not an object in JSON.
    """
    plain: Json = _adapter(type(value)).dump_python((value,), mode="json", warnings="error")[0]
    if not isinstance(plain, dict):
        raise TypeError(f"expected a dataclass or a mapping, got {type(value).__name__}")
    return plain


def from_json(kind: type[T], value: object) -> T:
    """Convert the result of `to_json` back to a `kind`, without missing or unknown keys and without conversions.

    Raises:
        ValueError: If a key is invalid; one line with the first such key and what was expected.
    """
    try:
        return _adapter(kind).validate_json(json.dumps([value]))[0]
    except ValidationError as error:
        raise ValueError(_first_problem(error)) from error


def write_typed(path: Path, value: object, *, private: bool = False) -> None:
    """Write a value as sealed JSON. Arguments and errors as `write_sealed_json`."""
    write_sealed_json(path, to_json(value), private=private)


def read_typed(kind: type[T], path: Path, advice: str) -> T:
    """Read a value written by `write_typed`.

    Raises:
        InputError: If the file cannot be read or is invalid; one line with the file, the invalid key and `advice`,
            which says what to do.
        StorageError: If the disk fails.
    """
    try:
        return from_json(kind, read_sealed_json(path))
    except DamagedFileError as error:
        raise DamagedFileError(path, error.how, advice) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {advice}") from error
    except ValueError as error:
        raise InputError(f"{path}: damaged, or written by another version of fedtune3d ({error}); {advice}") from error


_ADAPTERS: dict[object, object] = {}


def _adapter(kind: type[T]) -> TypeAdapter[tuple[T]]:
    # The configuration does not apply to a dataclass alone, but to a tuple's member.
    adapter = _ADAPTERS.get(kind)
    if not isinstance(adapter, TypeAdapter):
        adapter = TypeAdapter(tuple.__class_getitem__(kind), config=_STRICT)  # type: ignore[arg-type]
        _ADAPTERS[kind] = adapter
    return adapter


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in problem["loc"][1:]) or "the whole value"
    more = f", and {error.error_count() - 1} more" if error.error_count() > 1 else ""
    return f"{key}: {problem['msg']}{more}"
