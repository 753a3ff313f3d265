"""The centralized baseline: all sites in one place."""

from collections.abc import Sequence
from pathlib import Path

from fedtune3d.federation.site.local_trainer import LocalTrainer
from fedtune3d.federation.site.site import Site
from fedtune3d.training.dataset import ScanSet, pool


class PooledSite(LocalTrainer):
    """All sites' scans in one place: the centralized baseline, which no federation could run."""

    def __init__(self, sites: Sequence[Site], memory: Path) -> None:
        first = sites[0]
        super().__init__("centralized", first.experiment, first.process_model, memory)
        self.sites = sites
        self._sets: dict[str, ScanSet] = {}

    def scans(self, split: str) -> ScanSet:
        """The scans of a split over all sites, from the sites' own caches."""
        if split not in self._sets:
            self._sets[split] = pool([site.scans(split) for site in self.sites])
        return self._sets[split]
