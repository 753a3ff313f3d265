"""Optional values that cannot be read: they count as missing and are reported."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class _Place:
    line: int
    value: str


@dataclass
class UnreadableValues:
    """The values of a site's tables that could not be read, by table and column.

    Attributes:
        accepted: Column → description of accepted values.
    """

    accepted: dict[str, str]
    _places: dict[tuple[Path, str], list[_Place]] = field(default_factory=dict)

    def add(self, path: Path, line: int, column: str, value: str) -> None:
        """Record a value."""
        self._places.setdefault((path, column), []).append(_Place(line, value))

    @property
    def lines(self) -> tuple[str, ...]:
        """One line per table and column, with the number of values and an example."""
        return tuple(
            f"{path.name}: {column}: {len(places)} {'value' if len(places) == 1 else 'values'} treated as missing; "
            f"expected {self.accepted[column]}, got {places[0].value!r} in line {places[0].line}"
            + (" first" if len(places) > 1 else "")
            for (path, column), places in self._places.items()
        )
