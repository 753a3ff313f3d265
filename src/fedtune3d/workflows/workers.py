"""The sites of a run on this machine: in its own process, or held by as many workers as the experiment asks for."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.locks import wait_until_free
from fedtune3d._utils.progress import Advance, Progress, Silent
from fedtune3d.cohorts.records import Cohort
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.handover import install_files, installed_files
from fedtune3d.federation.in_process import InProcess
from fedtune3d.federation.messages import Answering, Federation
from fedtune3d.federation.site.site import Site
from fedtune3d.federation.workers.assignment import assign_sites, helped_before, last_sites
from fedtune3d.federation.workers.pool import WorkerPool
from fedtune3d.federation.workers.process import STOP_SECONDS, Held
from fedtune3d.federation.workers.spool import Spool
from fedtune3d.federation.workers.worker_federation import Unencoded, WorkerFederation
from fedtune3d.preparation.prepare_all import PreparedCohort
from fedtune3d.workflows.sites import behind_gate, make_sites

Reach = Callable[[Mapping[str, Answering]], Federation]
"""Creates a federation from sites of this process."""


@dataclass(frozen=True)
class Reached:
    """Sites of this machine.

    Attributes:
        federation: What asks them.
        encode: Encodes the scans whose features are not in the cache, those of all sites at once.
    """

    federation: Federation
    encode: Callable[[], None]


@contextmanager
def reach_sites(
    experiment: Experiment,
    folder: RunFolder,
    sites: Sequence[Site],
    key: bytes,
    progress: Progress,
    reach: Reach | None = None,
) -> Iterator[Reached]:
    """Reach sites of this machine during the block; with workers, the sites of this process only prepare scans.

    Args:
        experiment: The experiment.
        folder: The run folder, held by this process.
        sites: The sites, as this process has made them.
        key: Their key for the leak audit.
        progress: Where the progress of preparation and encoding is shown.
        reach: Creates the federation instead, from the sites of this process.
    """
    if reach is not None or experiment.workers == 1:
        federation = (reach or InProcess)({site.name: behind_gate(site) for site in sites})
        yield Reached(federation, partial(_encode_all, sites, progress, partial(_encode_here, sites)))
        return
    sizes = {site.name: len(site.cohort.records) for site in sites}
    holders = assign_sites(sizes, experiment.workers)
    make = partial(_describe, experiment, folder, sites, key, holders)
    with WorkerPool(experiment.workers, make, Spool(folder.worker_messages)) as pool:
        workers = WorkerFederation(pool, holders, helped_before(sizes, holders))
        yield Reached(workers, partial(_encode_all, sites, progress, workers.encode))


def wait_for_workers(folder: RunFolder) -> None:
    """Wait until the workers of a run that was killed have ended; they stop by themselves. Raises `InputError`."""
    for site in folder.site_folders:
        wait_until_free(site.path, 2 * STOP_SECONDS)


@dataclass(frozen=True)
class WorkerSites:
    """Everything from which a worker makes its sites; sent to it once.

    Attributes:
        experiment: The experiment.
        folder: The run folder.
        key: The sites' key for the leak audit.
        cohorts: Site → its scans, read and prepared, for the sites of this worker and those that it helps to score.
        own: The sites of this worker.
        encoders: Files of the user's own encoders, with their SHA-256.
    """

    experiment: Experiment
    folder: RunFolder
    key: bytes
    cohorts: Mapping[str, tuple[Cohort, PreparedCohort]]
    own: Sequence[str]
    encoders: Mapping[str, str]

    def __call__(self) -> Held:
        """Make the sites, with one model."""
        install_files(self.encoders)
        sites = {site.name: site for site in make_sites(self.experiment, self.folder, Silent(), key=self.key)}
        for name, (cohort, prepared) in self.cohorts.items():
            sites[name].cohort, sites[name].prepared = cohort, prepared
        return Held(
            answering={name: behind_gate(sites[name]) for name in self.own},
            folders=[sites[name].folder for name in self.own],
            helped=sites,
        )


def _describe(
    experiment: Experiment,
    folder: RunFolder,
    sites: Sequence[Site],
    key: bytes,
    holders: Mapping[str, int],
    worker: int,
) -> WorkerSites:
    """Describe the sites of a worker; prepares the scans of all sites first, with the processes for preparation."""
    cohorts = {site.name: (site.cohort, site.prepared) for site in sites}
    own = [name for name in cohorts if holders[name] == worker]
    known = {name: cohorts[name] for name in cohorts if name in {*own, *last_sites(holders)}}
    return WorkerSites(experiment, folder, key, known, own, installed_files())


def _encode_all(
    sites: Sequence[Site], progress: Progress, encode: Callable[[Sequence[Unencoded], Advance], None]
) -> None:
    """Encode what is not in the cache, with its progress."""
    parts = _list_unencoded(sites)
    with progress.bar("encoding scans") as advance:
        encode(parts, advance)


def _encode_here(sites: Sequence[Site], parts: Sequence[Unencoded], advance: Advance) -> None:
    """Encode scans in this process; as `WorkerFederation.encode`."""
    by_name, scans = {site.name: site for site in sites}, sum(len(part.scans) for part in parts)
    before = 0
    for part in parts:
        by_name[part.site].encode(part.split, part.scans, partial(_advance_from, advance, before, scans))
        before += len(part.scans)


def _advance_from(advance: Advance, before: int, scans: int, done: int, _: int) -> None:
    advance(before + done, scans)


def _list_unencoded(sites: Sequence[Site]) -> list[Unencoded]:
    """List the scans that are not encoded yet, in the order in which the sites, called in turn, would need them."""
    in_order = sorted(sites, key=lambda site: site.name)
    parts = [(site, split) for site in in_order for split in ("validation", "train")]
    parts += [(site, "test") for site in in_order]
    return [Unencoded(site.name, split, scans) for site, split in parts if (scans := site.unencoded(split))]
