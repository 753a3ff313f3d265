"""Estimate the cost and traffic of a run before it starts."""

import math
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from fedtune3d._utils.errors import InputError, ScanError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Silent
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.cohorts.splits import SPLITS, TRAIN
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.privacy.differential_privacy.forecast import Forecast, forecast
from fedtune3d.federation.site.costs import MeasuredCosts, measure_costs
from fedtune3d.federation.site.data import count_people
from fedtune3d.federation.site.site import Site
from fedtune3d.federation.splitting import split_shared
from fedtune3d.federation.workers.assignment import assign_sites
from fedtune3d.preparation.prepare_all import ToPrepare, prepare_all, processes_for
from fedtune3d.preparation.settings import PreparationSettings
from fedtune3d.preparation.store import PreparedStore
from fedtune3d.report.experiment_lines import random_weights_warnings
from fedtune3d.workflows.cross_validate import first_fold
from fedtune3d.workflows.plan_warnings import SiteSplits, plan_warnings, split_sizes_of
from fedtune3d.workflows.prepare import read_tables
from fedtune3d.workflows.run_folder import earlier_run_warnings
from fedtune3d.workflows.run_folder_size import run_folder_bytes
from fedtune3d.workflows.sites import make_sites


@dataclass(frozen=True)
class SitePlan:
    """The estimated scans, time and disk space of a site.

    Attributes:
        site: The site's name.
        scans: Numbers of all, training, validation and test scans, if none is bad.
        to_prepare: Number of scans that are not prepared yet.
        round_seconds: Time of training and scoring per round.
        prepare_seconds: Time of preparing those scans on a machine that prepares no others, with all its cores.
        encode_seconds: Time of encoding, once, what the cache does not have yet.
        evaluate_seconds: Time of predicting all scans at the end.
        prepared_bytes: Size of prepared scans on disk.
        features_bytes: Size of features on disk.
    """

    site: str
    scans: tuple[int, int, int, int]
    to_prepare: int
    round_seconds: float
    prepare_seconds: float
    encode_seconds: float
    evaluate_seconds: float
    prepared_bytes: int
    features_bytes: int

    @property
    def first_seconds(self) -> float:
        """Time of preparing and encoding, once, on a machine that does nothing else."""
        return self.prepare_seconds + self.encode_seconds


@dataclass(frozen=True)
class RunPlan:
    """The plan of a run, or of all folds of a cross-validation, and warnings about what may harm its results.

    `prepare_seconds` is the time of preparing the scans of all sites on this machine, in `prepare_processes`: all its
    cores, whatever the number of workers. `private` is what differential privacy costs at each site; empty without.
    `folds` is the number of runs: the sites' numbers are of the first of them.
    """

    experiment: Experiment
    costs: MeasuredCosts
    sites: list[SitePlan]
    prepare_seconds: float
    prepare_processes: int
    warnings: list[str] = field(default_factory=list)
    private: tuple[Forecast, ...] = ()
    folds: int = 1

    @property
    def federated_seconds(self) -> float:
        """Time of all rounds and the evaluation, with sites in turn, without preparing and encoding."""
        rounds = self.experiment.training.rounds
        return sum(rounds * site.round_seconds + site.evaluate_seconds for site in self.sites)

    @property
    def first_seconds(self) -> float:
        """Time of preparing the scans of all sites, and of encoding them in one process."""
        return self.prepare_seconds + self.encode_seconds

    @property
    def encode_seconds(self) -> float:
        """Time of encoding at all sites, in one process."""
        return sum(site.encode_seconds for site in self.sites)

    @property
    def seconds(self) -> float:
        """Total time, including baselines, each of which takes as long as the federated rounds.

        Everything but preparation is in one process.
        """
        return self.first_seconds + self.folds * self.federated_seconds * (1 + len(self.experiment.baselines))

    @property
    def trainings(self) -> int:
        """Number of models that are trained: in each fold the federated one, and those of the baselines."""
        sites = len(self.sites)
        of_baseline = {"local": sites, "leave_one_site_out": sites, "centralized": 1}
        return self.folds * (1 + sum(of_baseline[baseline] for baseline in self.experiment.baselines))

    @property
    def seconds_with_workers(self) -> float:
        """Total time with the experiment's workers: with so many folds at once, or with sites in so many processes.

        The centralized baseline trains in one process. Preparation takes as long as without workers.
        """
        if self.folds > 1:
            at_once = min(self.experiment.workers, self.folds)
            return self.prepare_seconds + (self.seconds - self.prepare_seconds) / at_once
        workers, rounds = self.experiment.workers, self.experiment.training.rounds
        holders = assign_sites({site.site: site.scans[0] for site in self.sites}, workers)
        busy = [0.0] * workers
        for site in self.sites:
            busy[holders[site.site]] += rounds * site.round_seconds + site.evaluate_seconds
        baselines = self.experiment.baselines
        pooled = self.federated_seconds if "centralized" in baselines else 0.0
        trainings = 1 + sum(baseline != "centralized" for baseline in baselines)
        return self.prepare_seconds + self.encode_seconds / workers + trainings * max(busy) + pooled

    @property
    def bytes_in_rounds(self) -> int:
        """Size of all tensors to and from a site in the rounds and the final scoring, which the report counts.

        Keys, shares and signatures of secure aggregation are included.
        """
        costs = self.costs
        return self.experiment.training.rounds * (costs.bytes_down + costs.bytes_up) + costs.state_bytes

    @property
    def bytes_per_site(self) -> int:
        """The same in a whole run: with the evaluation and the description of features, which take a state each."""
        return self.bytes_in_rounds + 2 * self.costs.state_bytes

    @property
    def run_folder_bytes(self) -> int:
        """Size of the run folder, or of those of all folds."""
        training_scans = [site.scans[1] for site in self.sites]
        return self.folds * run_folder_bytes(self.experiment, self.costs, training_scans)


def plan_run(experiment: Experiment) -> RunPlan:
    """Count the scans of every site, time one, and estimate the cost of the run.

    Raises:
        InputError: If a site's folder cannot be read, or the model cannot be built.
    """
    folds = 1 if experiment.validation is None else len(list(experiment.validation.all_folds()))
    experiment = first_fold(experiment)
    scans = SiteScans(experiment)  # first: a mistake in a table is found at once, and measuring can take minutes
    private = tuple(
        cost
        for section in experiment.sites
        if (cost := forecast(experiment, section.name, section.policy, scans.people[section.name])) is not None
    )
    costs = measure_costs(experiment)
    if costs.feature_bytes and experiment.fold is None:  # the folds of a cross-validation take other views
        scans.count_cached()
    planned = plan_with(experiment, costs, scans)
    earlier = earlier_run_warnings(RunFolder(experiment.output), experiment.public())
    warnings = [*random_weights_warnings(experiment), *earlier, *scans.notes, *planned.warnings]
    return replace(planned, private=private, folds=folds, warnings=warnings)


class SiteScans:
    """The number of scans at each site, by split, and the time to prepare those that are not prepared yet.

    Attributes:
        splits: Site → the sizes of its splits.
        people: Site → people in training.
        notes: A warning for each class that nobody at a site is in, and for missing columns.
        missing: Site → its scans that are not prepared yet.
        cached: Site → number of its features in the cache, which are not computed again; see `count_cached`.
        processes: Number of processes that prepare the scans of all sites together.
        seconds_per_scan: Time to prepare one scan.
        entry_bytes: Size of a prepared scan on disk.
    """

    def __init__(self, experiment: Experiment) -> None:
        sites = make_sites(experiment, RunFolder(experiment.output), Silent())
        read_tables(sites)
        shared = split_shared(experiment, [site.shared_groups(site.cohort.records) for site in sites])
        self.splits = {site.name: _splits(site, shared) for site in sites}
        self.people = {site.name: _people(site, shared) for site in sites}
        self.notes = [f"{site.name}: {line}" for site in sites for line in site.cohort.notes]
        self._sites, self._shared = sites, shared
        self._prepared = {site.name: _find_prepared(site) for site in sites}
        self.missing = {
            site.name: ToPrepare([record for record, path in self._prepared[site.name].items() if not path], site.store)
            for site in sites
        }
        self.cached: dict[str, int] = {}
        self.processes = processes_for(list(self.missing.values()))
        settings = experiment.preparation_settings
        self.seconds_per_scan = _seconds_for_one((cohort.records for cohort in self.missing.values()), settings)
        self.entry_bytes = PreparedStore(Path(), settings).entry_bytes

    @property
    def all_prepare_seconds(self) -> float:
        """Time to prepare the missing scans of all sites together, on all cores."""
        scans = sum(len(cohort.records) for cohort in self.missing.values())
        return self._seconds(scans, self.processes)

    def count_cached(self) -> None:
        """Count the features in the cache; builds the model if there are any, as they are kept by its weights."""
        for site in self._sites:
            if not site.cache.features.exists():
                continue
            splits = site.assign(site.cohort.records, self._shared)
            by_split: dict[str, list[Path]] = {split: [] for split in SPLITS}
            for record, path in self._prepared[site.name].items():
                if path is not None:
                    by_split[splits[record.group_id]].append(path)
            self.cached[site.name] = sum(site.count_cached(split, paths) for split, paths in by_split.items())

    def prepare_seconds(self, site: str) -> float:
        """Time to prepare the missing scans of one site, on all cores of a machine like this."""
        cohort = self.missing[site]
        return self._seconds(len(cohort.records), processes_for([cohort]))

    def _seconds(self, scans: int, processes: int) -> float:
        """Time of so many scans; each process prepares one after the other, on one core."""
        return math.ceil(scans / processes) * self.seconds_per_scan


def _splits(site: Site, shared: Mapping[str, str]) -> SiteSplits:
    records = site.cohort.records
    scans = [(record.group_id, record.label) for record in records]
    return split_sizes_of(site.assign(records, shared), scans, site.classes)


def _people(site: Site, shared: Mapping[str, str]) -> int:
    splits = site.assign(site.cohort.records, shared)
    return count_people(record for record in site.cohort.records if splits[record.group_id] == TRAIN)


def _find_prepared(site: Site) -> dict[ScanRecord, Path | None]:
    """Return the prepared file of each readable scan; None if it is not prepared yet."""
    found = {}
    for record in site.cohort.records:
        with suppress(ScanError):  # `prepare` reports bad scans
            found[record] = site.store.find(record)
    return found


def _seconds_for_one(missing: Iterable[Sequence[ScanRecord]], settings: PreparationSettings) -> float:
    """Time the preparation of the first usable scan in a temporary folder; the second run, as the first one includes
    imports."""
    for records in missing:
        with suppress(InputError):
            seconds = [_timed(records[:1], settings) for _ in range(2)]
            if records:
                return seconds[1]
    return 0.0


def _timed(records: Sequence[ScanRecord], settings: PreparationSettings) -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        prepare_all(records, PreparedStore(Path(folder), settings))
        return time.perf_counter() - began


def plan_with(experiment: Experiment, costs: MeasuredCosts, scans: SiteScans) -> RunPlan:
    """Create the plan of a run from measured costs and counted scans."""
    training = experiment.training
    sites = []
    for name, splits in scans.splits.items():
        train, validation, test = (splits[split].scans for split in SPLITS)
        total = train + validation + test
        scored = costs.scored_states * validation + costs.scores_training * train
        entries = _entries(experiment, train, validation + test) if costs.feature_bytes else 0
        sites.append(
            SitePlan(
                site=name,
                scans=(total, train, validation, test),
                to_prepare=len(scans.missing[name].records),
                round_seconds=training.passes(train) * train * costs.step_seconds + scored * costs.forward_seconds,
                prepare_seconds=scans.prepare_seconds(name),
                encode_seconds=(entries - scans.cached.get(name, 0)) * costs.encode_seconds,
                evaluate_seconds=total * costs.forward_seconds,
                prepared_bytes=total * scans.entry_bytes,
                features_bytes=entries * costs.feature_bytes,
            )
        )
    warnings = plan_warnings(experiment, scans.splits)
    return RunPlan(experiment, costs, sites, scans.all_prepare_seconds, scans.processes, warnings)


def _entries(experiment: Experiment, trained: int, others: int) -> int:
    """Count the cached features of a site with so many training scans and others, over all folds if it is one."""
    training = experiment.training
    if experiment.fold is None:
        return trained * training.views + others
    plain = 0 if training.augmentation is None else 1  # every scan is in training in one fold, and tested in another
    return (trained + others) * (training.views + plain)
