"""What a study will cost: its trials by stage, before any of them runs."""

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


@dataclass(frozen=True)
class StagePlan:
    """A stage of a study: how many trials, how many are done, and the time of the rest."""

    stage: str
    trials: int
    done: int
    seconds: float
    at_most: bool


@dataclass(frozen=True)
class StudyPlan:
    """The plan of a study. Where a stage waits for a choice, it is planned with the most expensive combination."""

    stages: list[StagePlan]
    first_seconds: float
    cache_bytes: int
    trials_bytes: int
    host_bytes: int


def plan_study(study: Study, tell: Callable[[str], None] = lambda text: None) -> StudyPlan:
    """Try one scan with every model of the study and say what all of it will cost; what was tried once is remembered.

    Raises:
        InputError: When a site's folder cannot be read, or a model cannot be made.
    """
    return _StudyPlanner(study, tell).run()


class _StudyPlanner:
    def __init__(self, study: Study, tell: Callable[[str], None]) -> None:
        self.study = study
        self.tell = tell
        self.scans = SiteScans(study.experiment(study.possible()[0], study.seeds[0]))
        self.folder = StudyFolder(study.output)
        self.known: dict[str, MeasuredCosts] = {}
        if self.folder.costs.exists():
            self.known = read_typed(dict[str, MeasuredCosts], self.folder.costs, "delete it to measure again")

    def run(self) -> StudyPlan:
        """Plan stage by stage; where one waits for a choice, with the most expensive combination."""
        stages = [stage for stage in self.study.walk(self._dearest) if not stage.is_view]
        plans = {one: self._plan(one) for stage in stages for one in stage.combinations}
        seen: set[Combination] = set()
        shown = []
        for stage in stages:
            new = [combination for combination in stage.combinations if combination not in seen]
            seen |= set(new)
            shown.append(self._stage(stage, new, plans))
        every_seed = len(self.study.seeds)
        features = {(plan.costs.feature_bytes, plan.experiment.tuning): plan for plan in plans.values()}
        seeds = every_seed if self.study.model.weights == "random" else 1
        first = sum(plan.first_seconds - self.scans.all_prepare_seconds for plan in features.values()) * seeds
        any_plan = next(iter(plans.values()))
        return StudyPlan(
            stages=shown,
            first_seconds=first + self.scans.all_prepare_seconds,
            cache_bytes=sum(site.prepared_bytes for site in any_plan.sites)
            + seeds * sum(site.features_bytes for plan in features.values() for site in plan.sites),
            trials_bytes=every_seed * sum(plan.run_folder_bytes for plan in plans.values()),
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
        """The time of all baselines with the most expensive of the combinations; 0 where a combination has them."""
        baselines, seeds = self.study.baselines, self.study.seeds
        for combination in combinations:
            if all(is_finished(self.study.experiment(combination, seed, baselines)) for seed in seeds):
                return 0.0
        dearest = max(plans[combination].federated_seconds for combination in combinations)
        return dearest * len(baselines) * len(seeds)

    def _dearest(self, parts: Sequence[str], combinations: Sequence[Combination]) -> Combination:
        own = [combination for combination in combinations if not combination.is_reference]
        return max(own, key=lambda combination: self._plan(combination).federated_seconds)

    def _plan(self, combination: Combination) -> RunPlan:
        experiment = self.study.experiment(combination, self.study.seeds[0])
        return plan_with(experiment, self._costs(experiment), self.scans)

    def _costs(self, experiment: Experiment) -> MeasuredCosts:
        """Measure an experiment's model, tuning and rule; rounds and seed do not matter, so it is done once."""
        causes = experiment.model_dump(mode="json", include={"model", "tuning", "aggregation", "threads", "device"})
        causes["versions"] = [__version__, torch.__version__]
        causes["batch_size"] = experiment.training.batch_size
        key = json.dumps(causes, sort_keys=True)
        if key not in self.known:
            self.tell(f"trying one scan: {experiment.name.rpartition('-')[0]}")
            self.known[key] = measure_costs(experiment)
            write_typed(self.folder.costs, self.known)
        return self.known[key]
