"""Values that cannot be read where they are optional: they are missing then, and counted."""

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
        accepted: What the columns accept, by name.
    """

    accepted: dict[str, str]
    _places: dict[tuple[Path, str], list[_Place]] = field(default_factory=dict)

    def add(self, path: Path, line: int, column: str, value: str) -> None:
        """Note one value."""
        self._places.setdefault((path, column), []).append(_Place(line, value))

    @property
    def lines(self) -> tuple[str, ...]:
        """One line per table and column, with the number of values and the first."""
        return tuple(
            f"{path.name}: {column}: {len(places)} {'value' if len(places) == 1 else 'values'} taken as missing; "
            f"expected {self.accepted[column]}, got {places[0].value!r} in line {places[0].line}"
            + (" first" if len(places) > 1 else "")
            for (path, column), places in self._places.items()
        )
