"""Estimate the cost of a study before it starts, by stage."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fedtune3d.config.experiment import Experiment
from fedtune3d.config.study import Stage, Study
from fedtune3d.config.study_axes import Combination
from fedtune3d.preparation.settings import PreparationSettings
from fedtune3d.report.experiment_lines import random_weights_warnings
from fedtune3d.workflows.plan import RunPlan, SiteScans, plan_with
from fedtune3d.workflows.study_costs import StudyCosts
from fedtune3d.workflows.trial_processes import is_finished

TRIAL_SECONDS = 10
"""Seconds that each trial takes besides its rounds: the start of its process (4), its model (2), and its report with
figures (4), as measured on a core of a server of 2025."""


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
    """The plan of a study, and warnings. Stages that depend on a choice have the most expensive combination."""

    stages: list[StagePlan]
    first_seconds: float
    cache_bytes: int
    trials_bytes: int
    host_bytes: int
    warnings: tuple[str, ...] = ()


def plan_study(study: Study, on_message: Callable[[str], None] = lambda text: None) -> StudyPlan:
    """Time one scan with every model of the study, and estimate the study's cost; measured times are kept.

    Raises:
        InputError: If a site's folder cannot be read, or a model cannot be built.
    """
    return _StudyPlanner(study, on_message).run()


class _StudyPlanner:
    def __init__(self, study: Study, on_message: Callable[[str], None]) -> None:
        self.study = study
        self.scans: dict[PreparationSettings, SiteScans] = {}
        self._scans(study.experiment(study.possible()[0], study.draws[0]))  # first: finds a mistake in a table at once
        self.costs = StudyCosts(study, on_message)

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
        encoded = {
            (plan.experiment.model.encoder, plan.experiment.model.weights, plan.experiment.tuning): plan
            for plan in plans.values()
        }
        grids = [self.scans[settings] for settings in {plan.experiment.preparation_settings for plan in plans.values()}]
        prepared = {plan.experiment.preparation_settings: plan.sites for plan in plans.values()}
        return StudyPlan(
            stages=stage_plans,
            first_seconds=sum(scans.all_prepare_seconds for scans in grids)
            + sum(self._times_encoded(plan) * plan.encode_seconds for plan in encoded.values()),
            cache_bytes=sum(site.prepared_bytes for sites in prepared.values() for site in sites)
            + sum(self._times_encoded(plan) * site.features_bytes for plan in encoded.values() for site in plan.sites),
            trials_bytes=len(self.study.draws) * sum(plan.run_folder_bytes for plan in plans.values()),
            host_bytes=max(plan.costs.host_bytes for plan in plans.values()),
            warnings=self._warnings(plans.values()),
        )

    def _warnings(self, plans: Iterable[RunPlan]) -> tuple[str, ...]:
        """Return each warning of a trial's plan once, and that of random weights."""
        of_trials = [text for plan in plans for text in plan.warnings]
        # In a comparison of encoders, one with random weights is a control.
        of_weights = [] if self.study.encoders else random_weights_warnings(self.study)
        return tuple(dict.fromkeys([*of_trials, *of_weights]))

    def _times_encoded(self, plan: RunPlan) -> int:
        """Return how often all scans are encoded: per seed with random weights, which follow from it, else once."""
        return len(self.study.seeds) if plan.experiment.model.weights == "random" else 1

    def _stage(self, stage: Stage, new: Sequence[Combination], plans: dict[Combination, RunPlan]) -> StagePlan:
        trials = [(combination, draw) for combination in new for draw in self.study.draws]
        left = [trial for trial in trials if not is_finished(self.study.experiment(*trial))]
        seconds = sum(TRIAL_SECONDS + plans[combination].federated_seconds for combination, _ in left)
        if stage.has_baselines:
            seconds += self._baseline_seconds(stage.combinations, plans)
        return StagePlan(stage.name, len(trials), len(trials) - len(left), seconds, stage.at_most)

    def _baseline_seconds(self, combinations: Sequence[Combination], plans: dict[Combination, RunPlan]) -> float:
        """Return the time of all baselines with the most expensive combination; 0 if a combination has them."""
        baselines, draws = self.study.baselines, self.study.draws
        for combination in combinations:
            if all(is_finished(self.study.experiment(combination, draw, baselines)) for draw in draws):
                return 0.0
        longest = max(plans[combination].federated_seconds for combination in combinations)
        return (longest * len(baselines) + TRIAL_SECONDS) * len(draws) if baselines else 0.0

    def _most_expensive(self, parts: Sequence[str], combinations: Sequence[Combination]) -> Combination:
        candidates = [combination for combination in combinations if not combination.is_reference]
        return max(candidates, key=lambda combination: self._plan(combination).federated_seconds)

    def _plan(self, combination: Combination) -> RunPlan:
        experiment = self.study.experiment(combination, self.study.draws[0])
        return plan_with(experiment, self.costs.of(experiment), self._scans(experiment))

    def _scans(self, experiment: Experiment) -> SiteScans:
        """Count the scans on an experiment's grid, and time one; once per grid."""
        settings = experiment.preparation_settings
        if settings not in self.scans:
            self.scans[settings] = SiteScans(experiment)
        return self.scans[settings]
