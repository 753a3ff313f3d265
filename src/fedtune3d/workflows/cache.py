"""The cache of an experiment as a whole: per site the prepared scans and the features; listed, checked and pruned."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from fedtune3d._utils.errors import InputError
from fedtune3d.config.experiment import Experiment
from fedtune3d.preparation.store import load_prepared, read_info
from fedtune3d.training.features import SECONDS_A_DAY, STALE_PARTIAL_SECONDS, CacheEntry, FeatureCache

KINDS = ("prepared", "features")
Advance = Callable[[int, int], None]


class Entries(Protocol):
    """One folder of entries; an entry whose causes are empty is damaged."""

    def list_entries(self) -> list[CacheEntry]:
        """All entries, without reading them whole."""
        ...

    def check(self, progress: Advance | None = None) -> dict[Path, str]:
        """The damaged entries and what is wrong with each; reads every byte."""
        ...

    def prune(self, unused_days: float | None = None) -> list[Path]:
        """Remove the damaged, what killed processes left, and what was not used for so long; returns what went."""
        ...


class PreparedEntries:
    """The entries of a `PreparedStore`: each a .npy, its mask's .npz and the .json of its causes, in this order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list_entries(self) -> list[CacheEntry]:
        """All entries by name."""
        return [_prepared_entry(path) for path in self._scans()]

    def check(self, progress: Advance | None = None) -> dict[Path, str]:
        """The damaged entries and what is wrong with each; reads every byte."""
        scans, found = self._scans(), {}
        for number, path in enumerate(scans, start=1):
            if fault := _fault(path):
                found[path] = fault
            if progress:
                progress(number, len(scans))
        return found

    def prune(self, unused_days: float | None = None) -> list[Path]:
        """Remove the damaged, what killed processes left, and what no run asked for in `unused_days`; returns it."""
        now = time.time()
        doomed = list(self.check())
        if unused_days is not None:
            before = now - unused_days * SECONDS_A_DAY
            doomed += [entry.path for entry in self.list_entries() if entry.used < before and entry.path not in doomed]
        for path in doomed:
            for suffix in (".npy", ".npz", ".json"):
                path.with_suffix(suffix).unlink(missing_ok=True)
        partials = [path for path in self.folder.glob(".*.partial.*") if not _is_fresh(path, now)]
        beside = [*self.folder.glob("[!.]*.json"), *self.folder.glob("[!.]*.npz")]
        orphans = [path for path in beside if not path.with_suffix(".npy").exists()]
        for path in (*partials, *orphans):
            path.unlink(missing_ok=True)
        return doomed + partials + orphans

    def _scans(self) -> list[Path]:
        """Without those that a process may be writing now."""
        now = time.time()
        scans = sorted(path for path in self.folder.glob("*.npy") if not path.name.startswith("."))
        return [path for path in scans if path.with_suffix(".json").exists() or not _is_fresh(path, now)]


@dataclass(frozen=True)
class SiteEntries:
    """What the cache holds of one site and kind."""

    site: str
    kind: str
    entries: Entries


def open_cache(path: Path) -> list[SiteEntries]:
    """The parts of a cache.

    Args:
        path: The cache folder, or the experiment file that names it.

    Raises:
        InputError: If there is no such folder, or no site's part in it.
    """
    folder = path if path.is_dir() else Experiment.from_yaml(path).cache
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; `fedtune3d prepare {path}` makes it")
    makers: dict[str, Callable[[Path], Entries]] = {"prepared": PreparedEntries, "features": FeatureCache}
    parts = [
        SiteEntries(site.name, kind, makers[kind](site / kind))
        for site in sorted(folder.iterdir())
        for kind in KINDS
        if (site / kind).is_dir()
    ]
    if not parts and any(folder.iterdir()):
        raise InputError(
            f"{folder}: expected a cache, with folders SITE/prepared and SITE/features; it has none of them"
        )
    return parts


def _prepared_entry(path: Path) -> CacheEntry:
    about = path.with_suffix(".json")
    beside = [file for file in (about, path.with_suffix(".npz")) if file.exists()]
    size = path.stat().st_size + sum(file.stat().st_size for file in beside)
    used = about.stat().st_mtime if about.exists() else path.stat().st_mtime
    try:
        causes = dict(read_info(path)["causes"])
    except (OSError, ValueError, TypeError, KeyError):
        causes = {}
    return CacheEntry(path, causes, size, used)


def _fault(path: Path) -> str | None:
    """What is wrong with a prepared scan, in one line; None where it is whole."""
    causes = _prepared_entry(path).causes
    if not causes:
        return f"{path}: its {path.stem}.json is missing or damaged"
    try:
        voxels = load_prepared(path).voxels
    except InputError as error:
        return str(error)
    settings = causes.get("settings")
    size = settings.get("size") if isinstance(settings, dict) else None
    if (voxels.shape, voxels.dtype) != ((size,) * 3, np.dtype(np.float16)):
        return f"{path}: expected {size} voxels a side in float16, found {voxels.shape} in {voxels.dtype}"
    return None if np.isfinite(voxels).all() else f"{path}: holds NaN or infinity"


def _is_fresh(path: Path, now: float) -> bool:
    return path.stat().st_mtime > now - STALE_PARTIAL_SECONDS
