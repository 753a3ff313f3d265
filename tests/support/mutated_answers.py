"""Answers spoiled at random: numbers, types, shapes, sizes, names, drawn from a generator."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

RAW = "@raw@"
NUMBERS = ("1e999", "-1e999", "NaN", "1e300", "-1", "0", "7.5", "1" + "0" * 400, "1" + "0" * 12, "0.999999", "-0.0")
OTHERS = ("true", "null", '""', '"x"', "[]", "{}", "[[[]]]", '{"a": {"b": 1}}')
TEXTS = (
    "\x1b[2J\x07",
    "=1+1",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "x" * 3000,
    "\u202egpj",
    "a\nb",
)


def mutate(records: RecordDict, rng: np.random.Generator) -> RecordDict:
    """A copy of a message with one thing spoiled."""
    spoiled = _copy(records)
    changes: list[Callable[[RecordDict, np.random.Generator], None]] = [_body] * 6 + [_head] * 2 + [_records]
    if spoiled.array_records["tensors"]:
        changes += [_tensor] * 5
    changes[int(rng.integers(len(changes)))](spoiled, rng)
    return spoiled


def _copy(records: RecordDict) -> RecordDict:
    arrays = {
        name: Array(dtype=array.dtype, shape=tuple(array.shape), stype=array.stype, data=array.data)
        for name, array in records.array_records["tensors"].items()
    }
    about = {str(key): str(value) for key, value in records.config_records["about"].items()}
    return RecordDict({"tensors": ArrayRecord(arrays), "about": ConfigRecord(about)})


def _pick(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _body(records: RecordDict, rng: np.random.Generator) -> None:
    _spoil_json(records, "body", rng)


def _head(records: RecordDict, rng: np.random.Generator) -> None:
    _spoil_json(records, "head", rng)


def _spoil_json(records: RecordDict, key: str, rng: np.random.Generator) -> None:
    about = records.config_records["about"]
    try:
        values = json.loads(str(about[key]))
    except ValueError:
        values = {}
    places = list(_places(values))
    if not places or rng.random() < 0.05:
        about[key] = _pick(rng, ("", "{", "[]", "null", "[" * 5000, "{}" * 10, '{"a": 1}'))
        return
    container, inner = _pick(rng, places)
    raws: list[str] = []
    _spoil_place(container, inner, rng, raws)
    about[key] = json.dumps(values).replace(f'"{RAW}"', raws[0] if raws else "null")


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every key of every object, and the first and last place of every list."""
    inner = list(value) if isinstance(value, dict) else sorted({0, len(value) - 1}) if value else []
    for key in inner:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _spoil_place(container: Any, key: Any, rng: np.random.Generator, raws: list[str]) -> None:
    choice = int(rng.integers(7))
    if choice == 0 and isinstance(container, dict):
        container[_pick(rng, TEXTS)] = container.pop(key)
    elif choice == 1:
        del container[key]
    elif choice == 2 and isinstance(container, list):
        container.extend([copy.deepcopy(container[key])] * _pick(rng, (1, 1000, 30_000)))
    elif choice == 3:
        container[key] = _pick(rng, TEXTS)
    elif choice == 4 and isinstance(container[key], int | float):
        container[key] = container[key] * _pick(rng, (2, -1, 1000, 0.5)) + _pick(rng, (0, 1, 0.25))
    else:
        raws.append(_pick(rng, NUMBERS + OTHERS))
        container[key] = RAW


def _tensor(records: RecordDict, rng: np.random.Generator) -> None:
    arrays = records.array_records["tensors"]
    name = _pick(rng, sorted(arrays))
    array = arrays[name]
    choice = int(rng.integers(8))
    if choice == 0:
        arrays.pop(name)
    elif choice == 1:
        part = name.partition("/")[0]
        arrays[_pick(rng, (f"{part}/other", "other/x", "", "/", f"{part}/" + "x" * 1000))] = arrays.pop(name)
    elif choice == 2:
        array.shape = _pick(rng, ((), (0,), (10**9, 10**9), (1,) * 40, (-1,), (*array.shape, 2)))
    elif choice == 3:
        array.dtype = _pick(rng, ("float64", "int64", "object", "complex64", "bool", ""))
    elif choice == 4:
        array.stype = "numpy.ndarray"
    elif choice == 5:
        array.data = _pick(rng, (b"", array.data[:-1], array.data * 2, array.data + bytes(80_000_000)))
    elif array.dtype in ("float32", "float64"):
        values = np.frombuffer(array.data, array.dtype).copy()
        values[int(rng.integers(len(values)))] = _pick(rng, (np.nan, np.inf, -np.inf, 3e38, 1e20, 1e4, -1.0))
        array.data = values.tobytes()


def _records(records: RecordDict, rng: np.random.Generator) -> None:
    choice = int(rng.integers(4))
    if choice == 0:
        del records["about"]
    elif choice == 1:
        del records["tensors"]
    elif choice == 2:
        records["about"] = ConfigRecord({"head": 5, "body": 7})
    else:
        records["about"] = ConfigRecord({"head": [1.0] * 1000})
