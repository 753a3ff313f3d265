"""Label expressions on the columns of a table, such as ``cdr >= 1 and age < 90``: a small grammar, never run as code.

    expression = all {"or" all}
    all        = comparison {"and" comparison}
    comparison = column ("==" | "!=" | "<" | "<=" | ">" | ">=") value

A column or value with spaces is quoted. Numbers compare as numbers; words are only equal or not.
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
Token = tuple[str, str]  # sign, quoted or word; the text


@dataclass(frozen=True)
class Comparison:
    """One column compared with a number or a word."""

    column: str
    sign: str
    value: float | str

    def holds(self, row: Row) -> bool | None:
        """Whether it holds; None where the row has no value, or no number where a number is needed."""
        cell = row.get(self.column)
        if cell is None:
            return None
        if isinstance(self.value, str):
            return (cell == self.value) == (self.sign == "==")
        number = as_number(cell)
        return None if number is None else _COMPARISONS[self.sign](number, self.value)


@dataclass(frozen=True)
class LabelExpression:
    """Alternatives, of which one must hold; each is a list of comparisons that must all hold."""

    alternatives: tuple[tuple[Comparison, ...], ...]

    def holds(self, row: Row) -> bool | None:
        """Whether it holds; None where that depends on an unknown value (Kleene's three-valued logic)."""
        return _any(_all(comparison.holds(row) for comparison in part) for part in self.alternatives)

    @property
    def comparisons(self) -> list[Comparison]:
        """All comparisons, in order."""
        return [comparison for part in self.alternatives for comparison in part]


def as_number(text: str) -> float | None:
    """The number that a cell holds (``0.5``, or ``0,5`` as some spreadsheets write it), else None."""
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None


def one_of(column: str, words: Iterable[str]) -> LabelExpression:
    """Build the expression that a column holds one of some words."""
    return LabelExpression(tuple((Comparison(column, "==", word),) for word in words))


def parse_label_expression(text: str) -> LabelExpression:
    """Read a label expression.

    Raises:
        InputError: If it cannot be read; says where.
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
            f"label expression {text!r}: expected a number after {sign}, found {value}; words go with == or !="
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
            hint = "; equal is ==" if rest[0] == "=" else ""
            raise InputError(f"label expression {text!r}: cannot be read at {rest}{hint}")
        kind = str(match.lastgroup)
        tokens.append((kind, match[kind].strip("\"'") if kind == "quoted" else match[kind]))
        position = match.end()
    return tokens
