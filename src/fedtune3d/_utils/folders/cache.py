"""The cache: per site its prepared scans, its features and the pages of quality control."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SiteCache:
    """One site's part of the cache; it stays at the site."""

    path: Path

    @property
    def prepared(self) -> Path:
        """The folder of prepared scans."""
        return self.path / "prepared"

    @property
    def features(self) -> Path:
        """The folder of features, the output of the model's frozen part."""
        return self.path / "features"

    @property
    def quality_page(self) -> Path:
        """The page of quality control."""
        return self.path / "qc.html"

    @property
    def quality_table(self) -> Path:
        """The measures of quality control, a row per scan."""
        return self.path / "qc.tsv"

    @property
    def names(self) -> Path:
        """The site's own ids behind the pseudonyms that the leak audit sent."""
        return self.path / "names.tsv"


@dataclass(frozen=True)
class CacheFolder:
    """The cache of an experiment."""

    path: Path

    def site(self, name: str) -> SiteCache:
        """A site's part."""
        return SiteCache(self.path / name)

    def sites(self) -> dict[str, SiteCache]:
        """Name → part, of every site that has one, by name."""
        return {folder.name: SiteCache(folder) for folder in sorted(self.path.iterdir()) if folder.is_dir()}


@dataclass(frozen=True)
class PreparedPaths:
    """The files of one prepared scan.

    Attributes:
        voxels: The ``.npy``, by which the scan is known.
    """

    voxels: Path

    @property
    def masks(self) -> Path:
        """The brain mask."""
        return self.voxels.with_suffix(".npz")

    @property
    def info(self) -> Path:
        """The causes of the entry, how the scan was prepared, and its quality measures."""
        return self.voxels.with_suffix(".json")

    @property
    def all(self) -> tuple[Path, Path, Path]:
        """All three."""
        return self.voxels, self.masks, self.info
