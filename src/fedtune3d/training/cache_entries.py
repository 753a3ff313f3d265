"""The entries of a cache on disk: listing, checking and pruning, the same for prepared scans and for features."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.files import forget_verified
from fedtune3d._utils.json_values import Json

SECONDS_PER_DAY = 86_400
STALE_PARTIAL_SECONDS = 3_600


@dataclass(frozen=True)
class CacheEntry:
    """An entry of a cache: its key's fields (empty if the entry is damaged), size, and time of last use."""

    path: Path
    causes: dict[str, Json]
    size_bytes: int
    used: float


class CacheEntries(ABC):
    """The entries in one folder of a cache.

    Args:
        folder: The folder, which need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def list_entries(self) -> list[CacheEntry]:
        """List all entries by name, without reading them completely."""

    @abstractmethod
    def entry_paths(self) -> list[Path]:
        """Return the path that identifies each entry, sorted."""

    @abstractmethod
    def damage(self, path: Path) -> str | None:
        """Return what is wrong with an entry, in one line; None if it is intact. Reads every byte."""

    @abstractmethod
    def leftovers(self) -> list[Path]:
        """Return the files that killed processes left behind."""

    @abstractmethod
    def remove(self, path: Path) -> None:
        """Delete all files of an entry."""

    def check(self, progress: Callable[[int, int], None] | None = None) -> dict[Path, str]:
        """Verify all entries, reading every byte. Returns damaged entry → what is wrong with it."""
        paths = self.entry_paths()
        forget_verified()
        damaged = {}
        for number, path in enumerate(paths, start=1):
            if problem := self.damage(path):
                damaged[path] = problem
            if progress:
                progress(number, len(paths))
        return damaged

    def prune(self, unused_days: float | None = None) -> list[Path]:
        """Delete damaged entries, leftovers of killed processes, and entries that no run has used for `unused_days`.

        Returns:
            The deleted entries and leftovers.
        """
        pruned = list(self.check())
        if unused_days is not None:
            limit = time.time() - unused_days * SECONDS_PER_DAY
            pruned += [entry.path for entry in self.list_entries() if entry.used < limit and entry.path not in pruned]
        for path in pruned:
            self.remove(path)
        leftovers = self.leftovers()
        for path in leftovers:
            path.unlink(missing_ok=True)
        return pruned + leftovers


def is_fresh(path: Path) -> bool:
    """Return whether a file was modified so recently that a process may still be writing it."""
    return path.stat().st_mtime > time.time() - STALE_PARTIAL_SECONDS
