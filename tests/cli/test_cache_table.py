"""The cache as a table."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fedtune3d.cli.cache_table import cache_table
from fedtune3d.training.cache_entries import CacheEntries, CacheEntry
from fedtune3d.workflows.cache import SiteEntries


class Listed(CacheEntries):
    """Entries that are only listed."""

    def __init__(self, listed: Sequence[CacheEntry] = ()) -> None:
        super().__init__(Path())
        self.listed = list(listed)

    def list_entries(self) -> list[CacheEntry]:
        return self.listed

    def entry_paths(self) -> list[Path]:
        raise NotImplementedError

    def damage(self, path: Path) -> str | None:
        raise NotImplementedError

    def leftovers(self) -> list[Path]:
        raise NotImplementedError

    def remove(self, path: Path) -> None:
        raise NotImplementedError


def test_sizes_are_added_and_damaged_entries_returned() -> None:
    whole = CacheEntry(Path("whole"), {"scan": "a"}, 1_500_000, 86_400.0)
    damaged = CacheEntry(Path("damaged"), {}, 600_000, 0.0)
    table, found = cache_table(
        [SiteEntries("A", "prepared", Listed([whole, damaged])), SiteEntries("B", "features", Listed())]
    )
    assert found == [Path("damaged")]
    console = Console(width=100, no_color=True)
    with console.capture() as capture:
        console.print(table)
    rows = {line.split()[0]: line.split() for line in capture.get().splitlines() if line.split()}
    assert rows["A"][1:4] == ["prepared", "2", "2.1"]
    assert rows["A"][4].startswith(("1970-01-01", "1970-01-02"))  # of the last use, in local time
    assert rows["B"][1:] == ["features", "0", "0.0", "–"]
    assert rows["All"][-1] == "2.1"
