"""The cache of an experiment: each site's prepared scans and features, to be listed, checked and pruned."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import numpy as np

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import PreparedPaths
from fedtune3d.config.experiment import Experiment
from fedtune3d.preparation.store import load_prepared, read_info
from fedtune3d.training.cache_entries import CacheEntries, CacheEntry, is_fresh
from fedtune3d.training.features import FeatureCache

KINDS = ("prepared", "features")


class PreparedEntries(CacheEntries):
    """The entries of a `PreparedStore`, each identified by its .npy."""

    def list_entries(self) -> list[CacheEntry]:
        """List all entries by name, without reading their voxels."""
        return [_prepared_entry(path) for path in self.entry_paths()]

    def entry_paths(self) -> list[Path]:
        """Return the .npy of each entry, sorted, except those that a process may be writing."""
        scans = sorted(path for path in self.folder.glob("*.npy") if not path.name.startswith("."))
        return [path for path in scans if PreparedPaths(path).info.exists() or not is_fresh(path)]

    def damage(self, path: Path) -> str | None:
        """Return what is wrong with a prepared scan, in one line; None if it is intact. Reads every byte."""
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
            return f"{path}: expected {size} voxels per axis in float16, found {voxels.shape} in {voxels.dtype}"
        return None if np.isfinite(voxels).all() else f"{path}: contains NaN or infinity"

    def leftovers(self) -> list[Path]:
        """Return stale partial files, and masks and descriptions without their scan."""
        partials = [path for path in self.folder.glob(".*.partial.*") if not is_fresh(path)]
        secondary = [*self.folder.glob("[!.]*.json"), *self.folder.glob("[!.]*.npz")]
        return partials + [path for path in secondary if not path.with_suffix(".npy").exists()]

    def remove(self, path: Path) -> None:
        """Delete the three files of an entry."""
        for file in PreparedPaths(path).all:
            file.unlink(missing_ok=True)


@dataclass(frozen=True)
class SiteEntries:
    """The entries of one site and kind in the cache."""

    site: str
    kind: str
    entries: CacheEntries


def open_cache(path: Path) -> list[SiteEntries]:
    """Open a cache.

    Args:
        path: The cache folder, or the experiment file that names it.

    Raises:
        InputError: If there is no such folder, or it contains no site's entries.
    """
    folder = path if path.is_dir() else Experiment.from_yaml(path).cache
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; `fedtune3d prepare {quote(str(path))}` creates it")
    makers: dict[str, Callable[[Path], CacheEntries]] = {"prepared": PreparedEntries, "features": FeatureCache}
    parts = [
        SiteEntries(site.name, kind, makers[kind](site / kind))
        for site in sorted(folder.iterdir())
        for kind in KINDS
        if (site / kind).is_dir()
    ]
    if not parts and any(folder.iterdir()):
        raise InputError(f"{folder}: expected a cache, with folders SITE/prepared and SITE/features; found neither")
    return parts


def _prepared_entry(path: Path) -> CacheEntry:
    paths = PreparedPaths(path)
    size = sum(file.stat().st_size for file in paths.all if file.exists())
    used = paths.info.stat().st_mtime if paths.info.exists() else path.stat().st_mtime
    try:
        causes = dict(read_info(path)["causes"])
    except (OSError, ValueError, TypeError, KeyError):
        causes = {}
    return CacheEntry(path, causes, size, used)
