"""Ledgers that also notice lines lost at their end: their number stands in a sealed file next to them.

``egress.jsonl`` has ``egress.count.json``, written after each line. A kill in between leaves the count one line behind,
which the next line makes good. A run's ``rounds.jsonl`` needs none: its checkpoint counts the lines.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fedtune3d._utils.errors import DamagedFileError
from fedtune3d._utils.json_values import Json
from fedtune3d._utils.ledgers import append_line, read_head, read_lines, require_length
from fedtune3d._utils.typed_json import from_json, read_typed, write_typed

_ADVICE = "keep both files as they are, and find out who changed them"


T = TypeVar("T")


@dataclass(frozen=True)
class _Count:
    lines: int


def append_counted_line(path: Path, value: Mapping[str, Json]) -> None:
    """Add a line and count it; both are on the disk when this returns.

    Raises:
        ValueError: For NaN and infinity, which are not JSON.
        DamagedFileError: If the ledger has lost lines, or its last line or its count is damaged.
        StorageError: If the disk does not take it.
    """
    counted, length = _counted(path), read_head(path).lines
    require_length(path, length, counted)
    if length > counted + 1:
        raise DamagedFileError(count_path(path), f"counts {counted} of {length} lines", _ADVICE)
    if length > counted:
        write_typed(count_path(path), _Count(length))
    write_typed(count_path(path), _Count(append_line(path, value).lines))


def read_counted_lines(path: Path) -> list[dict[str, Json]]:
    """Read and verify the lines as `ledgers.read_lines`, which must be as many as were counted, or more."""
    counted = _counted(path)
    lines = read_lines(path)
    require_length(path, len(lines), counted)
    if counted == 0 and len(lines) > 1 and _counted(path) == 0:  # not begun just now
        raise DamagedFileError(count_path(path), "is missing", _ADVICE)
    return lines


def read_typed_lines(kind: type[T], path: Path) -> Iterator[T]:
    """Read and verify the lines as values of a type, oldest first.

    Raises:
        DamagedFileError: If lines are lost or damaged, or naming the first line of another type.
    """
    for number, line in enumerate(read_counted_lines(path), start=1):
        try:
            yield from_json(kind, line)
        except ValueError as error:
            raise DamagedFileError(path, f"has an unexpected line {number} ({error})") from error


def count_path(ledger: Path) -> Path:
    """The file that counts the lines of a ledger."""
    return ledger.with_name(f"{ledger.stem}.count.json")


def _counted(ledger: Path) -> int:
    path = count_path(ledger)
    return read_typed(_Count, path, _ADVICE).lines if path.exists() else 0
