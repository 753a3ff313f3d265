"""Label expressions on table columns, such as ``cdr >= 1 and age < 90``: a small grammar, never evaluated as code.

    expression = all {"or" all}
    all        = comparison {"and" comparison}
    comparison = column ("==" | "!=" | "<" | "<=" | ">" | ">=") value

Columns or values with spaces are quoted. Numbers are compared as numbers; words only for equality.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fedtune3d._utils.errors import InputError

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_TOKEN = re.compile(r"""\s*(?:(?P<sign><=|>=|==|!=|<|>)|(?P<quoted>"[^"]*"|'[^']*')|(?P<word>[^\s<>=!"']+))""")
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?")

Row = Mapping[str, str | None]
Token = tuple[str, str]  # kind (sign, quoted or word) and text


@dataclass(frozen=True)
class Comparison:
    """One column compared with a number or a word."""

    column: str
    sign: str
    value: float | str

    def holds(self, row: Row) -> bool | None:
        """Return whether it holds; None if the row's value is missing, or is not a number although one is needed."""
        cell = row.get(self.column)
        if cell is None:
            return None
        if isinstance(self.value, str):
            return (cell == self.value) == (self.sign == "==")
        number = as_number(cell)
        return None if number is None else _COMPARISONS[self.sign](number, self.value)


@dataclass(frozen=True)
class LabelExpression:
    """A disjunction of conjunctions of comparisons."""

    alternatives: tuple[tuple[Comparison, ...], ...]

    def holds(self, row: Row) -> bool | None:
        """Return whether it holds; None if that depends on an unknown value (Kleene's three-valued logic)."""
        return _any(_all(comparison.holds(row) for comparison in part) for part in self.alternatives)

    @property
    def comparisons(self) -> list[Comparison]:
        """All comparisons, in order."""
        return [comparison for part in self.alternatives for comparison in part]


def as_number(text: str) -> float | None:
    """Parse a cell as a number (``0.5``, or ``0,5`` as some spreadsheets write it); None if it is not one."""
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None


def one_of(column: str, words: Iterable[str]) -> LabelExpression:
    """Build the expression that a column equals one of some words."""
    return LabelExpression(tuple((Comparison(column, "==", word),) for word in words))


def word_of(row: Row, comparisons: Iterable[Comparison]) -> str:
    """Return the column and the row's word, such as ``dx MCI``, if the comparisons ask only for words of one column.

    Otherwise, and where a range of numbers is asked for, an empty string.
    """
    asked = list(comparisons)
    columns = {comparison.column for comparison in asked}
    if len(columns) != 1 or any(comparison.sign not in ("==", "!=") for comparison in asked):
        return ""
    (column,) = columns
    return f"{column} {row.get(column)}"


def quoted(word: str) -> str:
    """Quote a column or a word where a label expression needs it."""
    is_plain = re.fullmatch("[A-Za-z][A-Za-z0-9_+-]*", word) and word not in ("and", "or")
    return word if is_plain else f'"{word}"'


def parse_label_expression(text: str) -> LabelExpression:
    """Parse a label expression.

    Raises:
        InputError: If it cannot be parsed, with the position.
    """
    alternatives = _split(_tokens(text), "or")
    return LabelExpression(
        tuple(tuple(_comparison(text, part) for part in _split(part, "and")) for part in alternatives)
    )


def _any(parts: Iterable[bool | None]) -> bool | None:
    values = list(parts)
    return True if True in values else None if None in values else False


def _all(parts: Iterable[bool | None]) -> bool | None:
    values = list(parts)
    return False if False in values else None if None in values else True


def _comparison(text: str, tokens: list[Token]) -> Comparison:
    if [kind for kind, _ in tokens if kind == "sign"] != ["sign"] or len(tokens) != 3 or tokens[1][0] != "sign":
        written = " ".join(word for _, word in tokens) or "nothing"
        raise InputError(
            f"label expression {text!r}: expected a column, one of {' '.join(_COMPARISONS)}, and a value, "
            f"found {written}; write it like cdr >= 1 and age < 90"
        )
    (_, column), (_, sign), (kind, value) = tokens
    number = None if kind == "quoted" else as_number(value)
    if number is None and sign not in ("==", "!="):
        raise InputError(
            f"label expression {text!r}: expected a number after {sign}, found {value}; use == or != with words"
        )
    return Comparison(column, sign, value if number is None else number)


def _split(tokens: list[Token], word: str) -> list[list[Token]]:
    parts: list[list[Token]] = [[]]
    for token in tokens:
        if token == ("word", word):
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    position = 0
    while rest := text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            hint = "; write == for equality" if rest[0] == "=" else ""
            raise InputError(f"label expression {text!r}: cannot be parsed at {rest}{hint}")
        kind = str(match.lastgroup)
        tokens.append((kind, match[kind].strip("\"'") if kind == "quoted" else match[kind]))
        position = match.end()
    return tokens
