"""JSON lines in which deletions and edits are detected: each line has its number and a hash over itself and all before.

``{"line": 3, "chain": "9f…", …}``: ``chain`` is the hexadecimal SHA-256 of the previous chain (empty for the first
line) and of the line's JSON without it. A last line left unfinished by a kill is overwritten by the next one.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.errors import DamagedFileError
from fedtune3d._utils.files import read_bytes, storage_errors, write_bytes
from fedtune3d._utils.json_values import Json

LINE, CHAIN = "line", "chain"


@dataclass(frozen=True)
class LedgerHead:
    """The end of a ledger: its number of lines and the last line's chain; 0 and empty for no lines."""

    lines: int = 0
    chain: str = ""


def append_line(path: Path, value: Mapping[str, Json]) -> LedgerHead:
    """Append a line, flushed to disk, and return the new head.

    Raises:
        ValueError: For NaN and infinity, which are not JSON.
        DamagedFileError: If the last line is damaged.
        StorageError: If the line cannot be written.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            end = _last_line_end(size, path)
            before = _head_of_tail(path, end)
            line, head = _chained(before, value)
            if end < size:
                file.truncate(end)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    return head


def read_lines(path: Path) -> list[dict[str, Json]]:
    """Read and verify the lines, without their numbers and chains; an unfinished last line is left out.

    Raises:
        DamagedFileError: If a line is not what was written; names the first such line.
        StorageError: If the file cannot be read.
    """
    return [value for value, _ in _verified_lines(path)]


def read_head(path: Path) -> LedgerHead:
    """Read the number and chain that the last whole line states; what stands before it is not verified.

    Raises:
        DamagedFileError: If that line is damaged.
        StorageError: If the disk fails.
    """
    try:
        with storage_errors(path):
            return _head_of_tail(path, _last_line_end(path.stat().st_size, path))
    except FileNotFoundError:
        return LedgerHead()


def require_length(path: Path, found: int, expected: int) -> None:
    """Raise `DamagedFileError` if a ledger holds fewer lines than were counted when they were written."""
    if found < expected:
        raise DamagedFileError(path, f"has lost lines: expected {expected} or more, found {found}")


def keep_first(path: Path, count: int) -> None:
    """Drop the lines after the first `count`, which were not committed.

    Raises:
        DamagedFileError: If the ledger holds fewer lines, or a damaged one.
    """
    length = len(_verified_lines(path))
    require_length(path, length, count)
    if length > count:
        kept = read_bytes(path).split(b"\n")[:count]
        write_bytes(path, b"".join(line + b"\n" for line in kept))


def _verified_lines(path: Path) -> list[tuple[dict[str, Json], LedgerHead]]:
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        return []
    lines, head = [], LedgerHead()
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        value, head = _verified_line(path, line, number, head)
        lines.append((value, head))
    return lines


def _verified_line(path: Path, line: bytes, number: int, before: LedgerHead) -> tuple[dict[str, Json], LedgerHead]:
    try:
        value = json.loads(line)
        stated = LedgerHead(value.pop(LINE), value.pop(CHAIN))
        expected, head = _chained(before, value)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise DamagedFileError(path, f"is damaged in line {number}") from error
    if stated != head or expected != line + b"\n":
        raise DamagedFileError(path, f"is damaged in line {number} or misses a line before it")
    return value, head


def _chained(before: LedgerHead, value: Mapping[str, Json]) -> tuple[bytes, LedgerHead]:
    number = before.lines + 1
    body = json.dumps({LINE: number, **value}, allow_nan=False)
    chain = hashlib.sha256(f"{before.chain}{body}".encode()).hexdigest()
    text = json.dumps({LINE: number, CHAIN: chain, **value}, allow_nan=False) + "\n"
    return text.encode(), LedgerHead(number, chain)


def _last_line_end(size: int, path: Path) -> int:
    """The length of the file up to and including its last line end, at most `size`."""
    with path.open("rb") as file:
        end = size
        while end > 0:
            start = max(0, end - 65_536)
            file.seek(start)
            offset = file.read(end - start).rfind(b"\n")
            if offset >= 0:
                return start + offset + 1
            end = start
    return 0


def _head_of_tail(path: Path, end: int) -> LedgerHead:
    """The head that the last whole line states; the chain itself is verified when the ledger is read."""
    if end == 0:
        return LedgerHead()
    start = _last_line_end(end - 1, path)
    with path.open("rb") as file:
        file.seek(start)
        line = file.read(end - start)
    try:
        value = json.loads(line)
        return LedgerHead(int(value[LINE]), str(value[CHAIN]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedFileError(path, "is damaged in its last line") from error
