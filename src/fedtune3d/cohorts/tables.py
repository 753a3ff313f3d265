"""Read a tab-separated table in its common variants, or report in one line what is wrong with it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.input_files import InputText, obstacle, read_input_text
from fedtune3d._utils.names import did_you_mean

_MISSING = {"", "n/a", "na", "nan"}

Row = dict[str, str | None]


@dataclass(frozen=True)
class Table:
    """A table: its columns, its rows as (line number, values or None), and whether it is Latin-1."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, Row], ...]
    is_latin1: bool = False


def read_table(path: Path, required: Sequence[str], what: str) -> Table:
    """Read a TSV file: UTF-8 with or without BOM, else Latin-1; any line ending; ``n/a`` and empty mean missing.

    Blank lines are skipped, and quotes around a field are removed.

    Args:
        path: The file.
        required: Required columns.
        what: A description for messages, such as ``a table of participants``.

    Raises:
        InputError: If the file is missing, not text or empty, lacks or repeats a column, or has a row whose length
            differs from the header's.
    """
    content = _read_text(path, what)
    lines = _lines(content.text)
    if not lines:
        raise InputError(f"{path}: expected a header with {' and '.join(required)}, found an empty file")
    columns = lines[0][1]
    for column in required:
        if column not in columns:
            raise no_column(path, column, columns, "rename the column that holds it")
    if repeated := [column for column in columns if column and columns.count(column) > 1]:
        raise InputError(f"{path}: expected each column once, found {repeated[0]} twice; rename or remove one")
    rows = []
    for number, fields in lines[1:]:
        if len(fields) != len(columns):
            raise InputError(
                f"{path}: line {number}: expected {len(columns)} fields as in the header, got {len(fields)}"
            )
        rows.append((number, {column: _value(field) for column, field in zip(columns, fields, strict=True)}))
    return Table(path, tuple(columns), tuple(rows), content.is_latin1)


def no_column(path: Path, column: str, columns: Sequence[str], otherwise: str) -> InputError:
    """Return the error that a table lacks a column, with the likely cause: the separator, the header, or the name.

    Args:
        path: The table.
        column: The name of the column.
        columns: The names of the columns that the table has.
        otherwise: What to do if neither the separator, nor the header, nor a similar name is the cause.
    """
    found = f"{path}: expected a column {column}, found the columns {', '.join(columns)}"
    if len(columns) == 1 and re.search("[,;| ]", columns[0]):
        return InputError(f"{found}; is it tab-separated?")
    if any(re.fullmatch(r"sub-.*|[\d.,]+", name) for name in columns):
        return InputError(f"{found}; is its first line a header?")
    return InputError(f"{found}{did_you_mean(column, columns).replace(',', ';', 1) or f'; {otherwise}'}")


def _read_text(path: Path, what: str) -> InputText:
    try:
        if reason := obstacle(path):
            raise InputError(f"{path}: expected {what}, {reason}")
        content = read_input_text(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected {what}, found none; check the path") from error
    except OSError as error:
        raise InputError(f"{path}: expected {what} that can be read; {error.strerror}") from error
    if "\0" in content.text:
        raise InputError(f"{path}: expected UTF-8 text, found zero bytes, as in UTF-16; save it as UTF-8")
    return content


def _lines(text: str) -> list[tuple[int, list[str]]]:
    """Return line number and fields of each non-blank line."""
    numbered = enumerate(text.split("\n"), start=1)
    return [(number, list(_fields(line))) for number, line in numbered if line.strip()]


def _fields(line: str) -> Iterator[str]:
    for field in line.split("\t"):
        field = field.strip()
        quoted = len(field) > 1 and field[0] == field[-1] == '"'
        yield field[1:-1].strip() if quoted else field


def _value(field: str) -> str | None:
    return None if field.lower() in _MISSING else field
