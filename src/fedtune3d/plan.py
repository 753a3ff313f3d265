"""What a run will cost and send, said before any of it is computed."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from fedtune3d.calibration import Calibration, calibrate
from fedtune3d.cohorts.preparation import PreparedStore, prepare_all
from fedtune3d.cohorts.splits import split_sizes
from fedtune3d.errors import InputError
from fedtune3d.experiment import Experiment
from fedtune3d.federation.site import Site
from fedtune3d.federation.workbench import Workbench
from fedtune3d.progress import Silent


@dataclass(frozen=True)
class SitePlan:
    """What a site holds, sends and computes.

    Attributes:
        site: Its name.
        scans: Usable scans, and about how many of them train, validate and test.
        round_seconds: Training and scoring in a round.
        first_seconds: Preparing all scans and encoding them for the cache, once.
        evaluate_seconds: Predicting all scans at the end.
        prepared_bytes: Prepared scans on disk.
        features_bytes: Features on disk.
    """

    site: str
    scans: tuple[int, int, int, int]
    round_seconds: float
    first_seconds: float
    evaluate_seconds: float
    prepared_bytes: int
    features_bytes: int


@dataclass(frozen=True)
class RunPlan:
    """The plan of a run."""

    experiment: Experiment
    calibration: Calibration
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
        found = self.calibration
        rounds = self.experiment.training.rounds
        return rounds * (found.bytes_down + found.bytes_up) + 3 * found.state_bytes

    @property
    def run_folder_bytes(self) -> int:
        """Checkpoints and what sites remember."""
        sites, baselines = len(self.sites), self.experiment.baselines
        trainings = 1 + ("centralized" in baselines) + sites * ("local" in baselines)
        return 2 * trainings * self.calibration.state_bytes + 2 * sites * self.calibration.remembered_bytes


def plan_run(experiment: Experiment) -> RunPlan:
    """Count the scans of every site, try one, and say what the run will cost.

    Raises:
        InputError: When a site's folder cannot be read, or the model cannot be made.
    """
    return plan_with(experiment, calibrate(experiment), SiteScans(experiment))


class SiteScans:
    """How many scans each site has, and how long one takes to prepare."""

    def __init__(self, experiment: Experiment) -> None:
        workbench = Workbench(experiment)
        sites = [
            Site(experiment, section, experiment.output / "sites" / section.name, Silent(), workbench)
            for section in experiment.sites
        ]
        self.records = {site.name: site.cohort.records for site in sites}
        self.prepare_seconds = self._prepare_one()

    def _prepare_one(self) -> float:
        """Seconds for the first scan that can be prepared, into a folder that is thrown away."""
        with tempfile.TemporaryDirectory() as folder:
            for records in self.records.values():
                began = time.perf_counter()
                try:
                    prepare_all(records[:1], PreparedStore(Path(folder)))
                except InputError:
                    continue  # a bad scan is for `prepare` to name
                return time.perf_counter() - began
        return 0.0

    @property
    def entry_bytes(self) -> int:
        """What a prepared scan takes on disk."""
        return PreparedStore(Path()).entry_bytes


def plan_with(experiment: Experiment, found: Calibration, scans: SiteScans) -> RunPlan:
    """The plan of a run from what was measured and counted."""
    training = experiment.training
    views = training.views if found.feature_bytes else 1
    sites = []
    for name, records in scans.records.items():
        train, validation, test = split_sizes(len(records), experiment.splits.fractions())
        scored = found.scored_states * validation + found.scores_training * train
        entries = (train * views + validation + test) if found.feature_bytes else 0
        sites.append(
            SitePlan(
                site=name,
                scans=(len(records), train, validation, test),
                round_seconds=training.local_epochs * train * found.step_seconds + scored * found.forward_seconds,
                first_seconds=len(records) * scans.prepare_seconds + entries * found.encode_seconds,
                evaluate_seconds=len(records) * found.forward_seconds,
                prepared_bytes=len(records) * scans.entry_bytes,
                features_bytes=entries * found.feature_bytes,
            )
        )
    return RunPlan(experiment, found, sites)
