"""Preparation of the scans of all sites of a process at once."""

from typing import Protocol

from fedtune3d._utils.progress import Progress
from fedtune3d.cohorts.records import Cohort
from fedtune3d.config.experiment import Experiment
from fedtune3d.preparation.prepare_all import PreparedCohort, ToPrepare, prepare_together
from fedtune3d.preparation.store import PreparedStore


class HasScans(Protocol):
    """A site, as far as its scans are prepared."""

    name: str

    @property
    def cohort(self) -> Cohort:
        """The scans in use."""
        ...

    @property
    def store(self) -> PreparedStore:
        """The store of its prepared scans."""
        ...


class JointPreparation:
    """Prepares the scans of several sites together, as soon as one of them needs its own.

    So all cores are busy until the last scan of all sites, however few scans a site has.

    Args:
        experiment: The experiment.
        progress: Where the progress is shown.
        workers: Number of processes; None for as many as `prepare_all.default_processes` finds.
    """

    def __init__(self, experiment: Experiment, progress: Progress, workers: int | None = None) -> None:
        self.experiment = experiment
        self.progress = progress
        self.workers = workers
        self._sites: list[HasScans] = []
        self._prepared: dict[str, PreparedCohort] = {}

    def join(self, site: HasScans) -> None:
        """Add a site, before any is asked for its scans."""
        self._sites.append(site)

    def cohort_of(self, name: str) -> PreparedCohort:
        """Return the usable scans of a site, prepared. Raises as `prepare_together`."""
        if not self._prepared:
            self._prepare()
        return self._prepared[name]

    def _prepare(self) -> None:
        cohorts = [ToPrepare(site.cohort.records, site.store) for site in self._sites]
        text = "preparing scans" if len(cohorts) > 1 else f"{self._sites[0].name}: preparing scans"
        with self.progress.bar(text) as advance:
            prepared = prepare_together(cohorts, self.workers, self.experiment.on_bad_scan, advance)
        self._prepared = {site.name: cohort for site, cohort in zip(self._sites, prepared, strict=True)}
