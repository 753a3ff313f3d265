"""The centralized baseline: all sites' scans in one place."""

from collections.abc import Sequence
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.gpu import gpu_errors_in_one_line
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.federation.site.data import SiteData
from fedtune3d.federation.site.local_trainer import LocalTrainer
from fedtune3d.federation.tasks.score import Score
from fedtune3d.federation.tasks.train import Train
from fedtune3d.training.dataset import ScanSet, pool


class PooledSite(LocalTrainer):
    """All sites' scans in one place: the centralized baseline, which no federation could run."""

    def __init__(self, sites: Sequence[SiteData], memory: Path) -> None:
        first = sites[0]
        super().__init__("centralized", first.experiment, first.process_model, memory)
        self.sites = sites
        self._sets: dict[str, ScanSet] = {}

    def scans(self, split: str) -> ScanSet:
        """Return the scans of a split over all sites, from the sites' own caches."""
        if split not in self._sets:
            self._sets[split] = pool([site.scans(split) for site in self.sites])
        return self._sets[split]

    def people(self, split: str) -> int:
        """Count the people behind the scans of a split; a person at two sites counts twice."""
        return sum(site.people(split) for site in self.sites)

    @gpu_errors_in_one_line()
    def answer(self, task: Task) -> Answer:
        """Carry out a training or scoring task. Raises `InputError` for any other kind."""
        if isinstance(task.instruction, Train):
            return self.train(task)
        if isinstance(task.instruction, Score):
            return self.score(task)
        raise InputError(f"{self.name}: expected a task of kind {Train.kind} or {Score.kind}, got {task.kind!r}")
