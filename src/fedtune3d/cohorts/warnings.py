"""Optional values that cannot be read: they count as missing and are reported."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ReadingWarning:
    """Values or files of one kind that could not be read, or only with a guess.

    Attributes:
        what: In words that name no file, person or value, such as ``values of age treated as missing``.
        count: How many.
        line: All of it in one line, with the first file and value, for the site itself.
    """

    what: str
    count: int
    line: str


@dataclass(frozen=True)
class _Value:
    where: str
    text: str


@dataclass
class UnreadableValues:
    """The values of a site's tables that could not be read, by table and column.

    Attributes:
        accepted: Column → description of accepted values.
        consequence: What is done with such a value.
    """

    accepted: dict[str, str]
    consequence: str = "treated as missing"
    _values: dict[tuple[Path, str], list[_Value]] = field(default_factory=dict)

    def add(self, path: Path, where: str, column: str, text: str) -> None:
        """Record a value; `where` names its row, such as ``line 3``."""
        self._values.setdefault((path, column), []).append(_Value(where, text))

    @property
    def warnings(self) -> tuple[ReadingWarning, ...]:
        """One per table and column, with the number of values and an example."""
        return tuple(
            ReadingWarning(
                f"values of {column} {self.consequence}",
                len(values),
                f"{path.name}: {column}: {len(values)} {'value' if len(values) == 1 else 'values'} {self.consequence}; "
                f"expected {self.accepted[column]}, got {values[0].text!r} in {values[0].where}"
                + (" first" if len(values) > 1 else ""),
            )
            for (path, column), values in self._values.items()
        )
