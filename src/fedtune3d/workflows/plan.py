"""What a run will cost and send, said before any of it is computed."""

import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.errors import InputError, ScanError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Silent
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.cohorts.splits import TEST, TRAIN, VALIDATION
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.site.costs import MeasuredCosts, measure_costs
from fedtune3d.federation.site.site import Site
from fedtune3d.federation.splitting import split_shared
from fedtune3d.preparation.prepare_all import prepare_all
from fedtune3d.preparation.settings import PreparationSettings
from fedtune3d.preparation.store import PreparedStore
from fedtune3d.workflows.prepare import read_tables
from fedtune3d.workflows.sites import make_sites


@dataclass(frozen=True)
class SitePlan:
    """What a site holds, sends and computes.

    Attributes:
        site: Its name.
        scans: All scans, and how many of them train, validate and test if none is at fault.
        to_prepare: Scans that are not prepared yet.
        round_seconds: Training and scoring in a round.
        first_seconds: Preparing those scans, and encoding all for the cache, once.
        evaluate_seconds: Predicting all scans at the end.
        prepared_bytes: Prepared scans on disk.
        features_bytes: Features on disk.
    """

    site: str
    scans: tuple[int, int, int, int]
    to_prepare: int
    round_seconds: float
    first_seconds: float
    evaluate_seconds: float
    prepared_bytes: int
    features_bytes: int


@dataclass(frozen=True)
class RunPlan:
    """The plan of a run."""

    experiment: Experiment
    costs: MeasuredCosts
    sites: list[SitePlan]

    @property
    def federated_seconds(self) -> float:
        """All rounds and the evaluation, one site after the other; without preparing and encoding."""
        rounds = self.experiment.training.rounds
        return sum(rounds * site.round_seconds + site.evaluate_seconds for site in self.sites)

    @property
    def first_seconds(self) -> float:
        """Preparing and encoding at all sites."""
        return sum(site.first_seconds for site in self.sites)

    @property
    def seconds(self) -> float:
        """All of it in one process, baselines included: each trains as much as the federated rounds do."""
        return self.first_seconds + self.federated_seconds * (1 + len(self.experiment.baselines))

    @property
    def bytes_per_site(self) -> int:
        """All tensors to and from a site: rounds, the last scoring, evaluation, usual features (these down only)."""
        found = self.costs
        rounds = self.experiment.training.rounds
        return rounds * (found.bytes_down + found.bytes_up) + 3 * found.state_bytes

    @property
    def run_folder_bytes(self) -> int:
        """Checkpoints and what sites remember."""
        sites, baselines = len(self.sites), self.experiment.baselines
        trainings = 1 + ("centralized" in baselines) + sites * ("local" in baselines)
        return 2 * trainings * self.costs.state_bytes + 2 * sites * self.costs.remembered_bytes


def plan_run(experiment: Experiment) -> RunPlan:
    """Count the scans of every site, try one, and say what the run will cost.

    Raises:
        InputError: When a site's folder cannot be read, or the model cannot be made.
    """
    return plan_with(experiment, measure_costs(experiment), SiteScans(experiment))


class SiteScans:
    """The scans of each site, by split; which are prepared, and how long one takes.

    Attributes:
        sizes: Site → scans in all, and how many train, validate and test.
        missing: Site → scans that are not prepared yet.
        prepare_seconds: For one of those.
        entry_bytes: What a prepared scan takes on disk.
    """

    def __init__(self, experiment: Experiment) -> None:
        sites = make_sites(experiment, RunFolder(experiment.output), Silent())
        read_tables(sites)
        shared = split_shared(experiment, [site.shared_groups(site.cohort.records) for site in sites])
        self.sizes = {site.name: _sizes(site, shared) for site in sites}
        missing = {site.name: _not_prepared(site) for site in sites}
        self.missing = {name: len(records) for name, records in missing.items()}
        settings = experiment.preparation_settings
        self.prepare_seconds = _seconds_for_one(missing.values(), settings)
        self.entry_bytes = PreparedStore(Path(), settings).entry_bytes

    @property
    def all_prepare_seconds(self) -> float:
        """For all that is missing."""
        return self.prepare_seconds * sum(self.missing.values())


def _sizes(site: Site, shared: Mapping[str, str]) -> tuple[int, int, int, int]:
    records = site.cohort.records
    splits = site.assign(records, shared)
    counts = Counter(splits[record.group_id] for record in records)
    return len(records), counts[TRAIN], counts[VALIDATION], counts[TEST]


def _not_prepared(site: Site) -> list[ScanRecord]:
    missing = []
    for record in site.cohort.records:
        with suppress(ScanError):  # a bad scan is for `prepare` to name
            if site.store.find(record) is None:
                missing.append(record)
    return missing


def _seconds_for_one(missing: Iterable[list[ScanRecord]], settings: PreparationSettings) -> float:
    """For the first scan that can be prepared, into folders that are thrown away; the second time, as the first also
    imports what preparing takes."""
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


def plan_with(experiment: Experiment, found: MeasuredCosts, scans: SiteScans) -> RunPlan:
    """The plan of a run from what was measured and counted."""
    training = experiment.training
    views = training.views if found.feature_bytes else 1
    sites = []
    for name, (every, train, validation, test) in scans.sizes.items():
        scored = found.scored_states * validation + found.scores_training * train
        entries = (train * views + validation + test) if found.feature_bytes else 0
        sites.append(
            SitePlan(
                site=name,
                scans=(every, train, validation, test),
                to_prepare=scans.missing[name],
                round_seconds=training.local_epochs * train * found.step_seconds + scored * found.forward_seconds,
                first_seconds=scans.missing[name] * scans.prepare_seconds + entries * found.encode_seconds,
                evaluate_seconds=every * found.forward_seconds,
                prepared_bytes=every * scans.entry_bytes,
                features_bytes=entries * found.feature_bytes,
            )
        )
    return RunPlan(experiment, found, sites)
