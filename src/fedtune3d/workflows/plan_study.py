"""Estimate the cost of a study before it starts, by stage."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from fedtune3d._utils.folders import StudyFolder
from fedtune3d._utils.typed_json import read_typed, write_typed
from fedtune3d._utils.version import __version__
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.study import Combination, Stage, Study
from fedtune3d.federation.site.costs import MeasuredCosts, measure_costs
from fedtune3d.workflows.plan import RunPlan, SiteScans, plan_with
from fedtune3d.workflows.study import is_finished

MEASURED = {"model", "tuning", "aggregation", "privacy", "threads", "device"}
"""Keys of an experiment on which the measured costs depend."""


@dataclass(frozen=True)
class StagePlan:
    """A stage of a study: numbers of all and of finished trials, and the time of the others."""

    stage: str
    trials: int
    done: int
    seconds: float
    at_most: bool


@dataclass(frozen=True)
class StudyPlan:
    """The plan of a study. Stages that depend on a choice are planned with the most expensive combination."""

    stages: list[StagePlan]
    first_seconds: float
    cache_bytes: int
    trials_bytes: int
    host_bytes: int


def plan_study(study: Study, on_message: Callable[[str], None] = lambda text: None) -> StudyPlan:
    """Time one scan with every model of the study, and estimate the study's cost; measured times are kept.

    Raises:
        InputError: If a site's folder cannot be read, or a model cannot be built.
    """
    return _StudyPlanner(study, on_message).run()


class _StudyPlanner:
    def __init__(self, study: Study, on_message: Callable[[str], None]) -> None:
        self.study = study
        self.on_message = on_message
        self.scans = SiteScans(study.experiment(study.possible()[0], study.seeds[0]))
        self.folder = StudyFolder(study.output)
        self.known: dict[str, MeasuredCosts] = {}
        if self.folder.costs.exists():
            self.known = read_typed(dict[str, MeasuredCosts], self.folder.costs, "delete it to measure again")

    def run(self) -> StudyPlan:
        """Plan all stages; those that depend on a choice with the most expensive combination."""
        stages = [stage for stage in self.study.walk(self._most_expensive) if not stage.is_view]
        plans = {combination: self._plan(combination) for stage in stages for combination in stage.combinations}
        seen: set[Combination] = set()
        stage_plans = []
        for stage in stages:
            new = [combination for combination in stage.combinations if combination not in seen]
            seen |= set(new)
            stage_plans.append(self._stage(stage, new, plans))
        seed_count = len(self.study.seeds)
        features = {(plan.costs.feature_bytes, plan.experiment.tuning): plan for plan in plans.values()}
        seeds = seed_count if self.study.model.weights == "random" else 1
        first = sum(plan.first_seconds - self.scans.all_prepare_seconds for plan in features.values()) * seeds
        any_plan = next(iter(plans.values()))
        return StudyPlan(
            stages=stage_plans,
            first_seconds=first + self.scans.all_prepare_seconds,
            cache_bytes=sum(site.prepared_bytes for site in any_plan.sites)
            + seeds * sum(site.features_bytes for plan in features.values() for site in plan.sites),
            trials_bytes=seed_count * sum(plan.run_folder_bytes for plan in plans.values()),
            host_bytes=max(plan.costs.host_bytes for plan in plans.values()),
        )

    def _stage(self, stage: Stage, new: Sequence[Combination], plans: dict[Combination, RunPlan]) -> StagePlan:
        trials = [(combination, seed) for combination in new for seed in self.study.seeds]
        left = [trial for trial in trials if not is_finished(self.study.experiment(*trial))]
        seconds = sum(plans[combination].federated_seconds for combination, _ in left)
        if stage.has_baselines:
            seconds += self._baseline_seconds(stage.combinations, plans)
        at_most = stage.name in ("tunings", "rules")
        return StagePlan(stage.name, len(trials), len(trials) - len(left), seconds, at_most)

    def _baseline_seconds(self, combinations: Sequence[Combination], plans: dict[Combination, RunPlan]) -> float:
        """Return the time of all baselines with the most expensive combination; 0 if a combination has them."""
        baselines, seeds = self.study.baselines, self.study.seeds
        for combination in combinations:
            if all(is_finished(self.study.experiment(combination, seed, baselines)) for seed in seeds):
                return 0.0
        longest = max(plans[combination].federated_seconds for combination in combinations)
        return longest * len(baselines) * len(seeds)

    def _most_expensive(self, parts: Sequence[str], combinations: Sequence[Combination]) -> Combination:
        candidates = [combination for combination in combinations if not combination.is_reference]
        return max(candidates, key=lambda combination: self._plan(combination).federated_seconds)

    def _plan(self, combination: Combination) -> RunPlan:
        experiment = self.study.experiment(combination, self.study.seeds[0])
        return plan_with(experiment, self._costs(experiment), self.scans)

    def _costs(self, experiment: Experiment) -> MeasuredCosts:
        """Measure the costs of an experiment's model, tuning and rule, once for all rounds and seeds."""
        causes = experiment.model_dump(mode="json", include=MEASURED)
        causes["versions"] = [__version__, torch.__version__]
        causes["batch_size"] = experiment.training.batch_size
        if experiment.privacy.secure_aggregation:  # messages hold a key and a share for every site
            causes |= {"sites": [site.name for site in experiment.sites], "fraction": experiment.participation.fraction}
        key = json.dumps(causes, sort_keys=True)
        if key not in self.known:
            self.on_message(f"timing one scan: {experiment.name.rpartition('-')[0]}")
            self.known[key] = measure_costs(experiment)
            write_typed(self.folder.costs, self.known)
        return self.known[key]
