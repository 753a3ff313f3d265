"""Run a study: its trials in stages, the choices between stages, and the report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import sweep_partials
from fedtune3d._utils.folders import RunFolder, StudyFolder
from fedtune3d._utils.locks import one_writer
from fedtune3d._utils.progress import Progress, Silent
from fedtune3d._utils.run_config import read_run_config
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.study import Stage, Study
from fedtune3d.config.study_axes import Combination, Draw, Variant
from fedtune3d.config.study_results import CombinationRecord, EncodingCost, StudyResults
from fedtune3d.evaluation.outcome import Outcome
from fedtune3d.federation.round_state import read_best_state
from fedtune3d.report.headline import brief
from fedtune3d.report.logs import require_packages
from fedtune3d.report.number_formatting import plural
from fedtune3d.report.shown_measure import main_measure
from fedtune3d.workflows.run_folder import open_run, read_metrics
from fedtune3d.workflows.trial_processes import TrialProcesses, as_trial, is_finished

OnMessage = Callable[[str], None]


def run_study(
    study: Study, *, workers: int = 1, progress: Progress | None = None, on_message: OnMessage = lambda text: None
) -> StudyFolder:
    """Run all unfinished trials, make the choices between stages, and write the report.

    The same call continues a study that was stopped. If a trial fails, the failure is recorded and the others continue;
    the next call repeats it.

    Args:
        study: The study.
        workers: Number of trials that run in parallel, each in its own process. The study's own `workers`, of a run,
            count only for one trial at a time, so that the two are not multiplied.
        progress: Where the progress of scan preparation is shown.
        on_message: Called with a line for each trial that ends, and for each choice.

    Raises:
        InputError: If the input is invalid, another process runs the study, or all trials on which a choice depends
            failed.
    """
    require_packages(study.log)
    folder = StudyFolder(study.output)
    with one_writer(folder.path, "fedtune3d benchmark"):
        sweep_partials(folder.path)
        return _StudyRun(study, folder, workers, progress or Silent(), on_message).run()


def validation_score(folder: RunFolder, outcome: Outcome) -> float | None:
    """Return what a trial's evaluated state is chosen by: see `Validation.score`."""
    return read_best_state(folder.best_checkpoint).validation.score(outcome)


@dataclass
class _StudyRun:
    study: Study
    folder: StudyFolder
    workers: int
    progress: Progress
    on_message: OnMessage

    def __post_init__(self) -> None:
        self.faults: dict[str, str] = {}
        self.stages: dict[str, list[Combination]] = {}
        self.chosen: dict[str, Variant] = {}
        self.encoding: dict[str, EncodingCost] = {}
        self.processes = TrialProcesses(self.folder.log)
        self.measure = main_measure(self.study.outcome)

    def run(self) -> StudyFolder:
        """Run all stages, then write the results and the report, also if a stage raises."""
        from fedtune3d.report.study_page import write_study_report
        from fedtune3d.workflows.study_costs import measure_encoders

        self._check_trials()
        for pair in self.study.left_out:
            self.on_message(f"excluded: {pair}")
        self._prepare()
        self.encoding = measure_encoders(self.study, self.on_message)
        try:
            for stage in self.study.walk(self._choose):
                self._run(stage)
        finally:
            self._write()
            write_study_report(self.folder.path)
        return self.folder

    def _choose(self, parts: Sequence[str], combinations: Sequence[Combination]) -> Combination:
        best = self._best(combinations)
        for part in parts:
            self.chosen[part] = getattr(best, part)
            score = self._validation(best)
            by = "" if score is None else f" ({self._score_text(score)})"
            self.on_message(f"best {part} by validation: {self.chosen[part].label}{by}")
        return best

    def _best(self, combinations: Sequence[Combination]) -> Combination:
        """Return the combination with the best mean validation score over its trials; the first if there are ties."""
        candidates = {
            combination: self._validation(combination) for combination in combinations if not combination.is_reference
        }
        scores = {combination: score for combination, score in candidates.items() if score is not None}
        if not scores:
            reasons = sorted(set(self.faults.values())) or [self._why_without_score()]
            others = f" (and {len(reasons) - 1} more, above)" if len(reasons) > 1 else ""
            raise InputError(
                f"{self.folder.path}: no trial has a validation {self.measure.validation} to choose by: "
                f"{reasons[0]}{others}"
            )
        sign = -1 if self.measure.is_error else 1
        return max(scores, key=lambda combination: sign * scores[combination])

    def _score_text(self, score: float) -> str:
        """Format a validation score: `validation AUC 0.88`."""
        return f"validation {self.measure.validation} {score:.2f} {self.measure.unit}".rstrip()

    def _why_without_score(self) -> str:
        if self.measure.is_error:
            return "no site has validation scans"
        return f"no site has validation scans of {'both' if self.study.outcome.is_binary else 'two'} classes"

    def _validation(self, combination: Combination) -> float | None:
        folders = [RunFolder(self.study.trial_folder(combination, draw)) for draw in self.study.draws]
        scores = [validation_score(folder, self.study.outcome) for folder in folders if folder.metrics.exists()]
        known = [score for score in scores if score is not None]
        return sum(known) / len(known) if known else None

    def _run(self, stage: Stage) -> None:
        """Run the trials of a stage; in the stage with baselines, one combination also trains the baselines."""
        self.stages[stage.name] = stage.combinations
        self._write()
        if stage.is_view:
            return
        with_baselines = self._with_baselines(stage.combinations) if stage.has_baselines else None
        experiments = [
            self._experiment(combination, draw, self.study.baselines if combination == with_baselines else ())
            for combination in stage.combinations
            for draw in self.study.draws
        ]
        unfinished = [experiment for experiment in experiments if not is_finished(experiment)]
        if unfinished:
            self.on_message(f"{stage.name}: {self._to_run(unfinished)}")
        for experiment, fault in self.processes.run(unfinished, self.workers):
            self._record_end(experiment, fault)

    def _to_run(self, experiments: Sequence[Experiment]) -> str:
        """Say how many trials run, and in how many finished ones only the baselines do."""
        again = sum(is_finished(it.model_copy(update={"baselines": ()})) for it in experiments)
        parts = [f"{plural(len(experiments) - again, 'trial')} to run"] if again < len(experiments) else []
        if again:
            parts.append(f"baselines ({', '.join(self.study.baselines)}) to add to {plural(again, 'finished trial')}")
        return ", ".join(parts) + (f", {self.workers} at once" if self.workers > 1 else "")

    def _with_baselines(self, combinations: Sequence[Combination]) -> Combination:
        """Return the combination whose run also trains the baselines, which are the same for every rule."""
        base = self.study.base.rule
        return next((combination for combination in combinations if combination.rule == base), combinations[0])

    def _experiment(self, combination: Combination, draw: Draw, baselines: Sequence[str]) -> Experiment:
        """Return a trial's experiment, including the baselines that its run folder already has."""
        folder = RunFolder(self.study.trial_folder(combination, draw))
        existing = read_run_config(folder.config)["baselines"] if folder.config.exists() else ()
        experiment = self.study.experiment(combination, draw, list(dict.fromkeys((*existing, *baselines))))
        return as_trial(experiment, self.workers)

    def _record_end(self, experiment: Experiment, fault: str | None) -> None:
        if fault is None:
            folder = RunFolder(experiment.output)
            score = validation_score(folder, self.study.outcome)
            validation = f"no validation {self.measure.validation}" if score is None else self._score_text(score)
            added = f" (with baselines: {', '.join(experiment.baselines)})" if experiment.baselines else ""
            outcome = f"{validation}, {brief(read_metrics(folder))}{added}"
        else:
            self.faults[experiment.name] = fault
            outcome = f"failed: {fault}"
        self.on_message(f"{experiment.name}: {outcome}")
        self._write()

    def _check_trials(self) -> None:
        """Raise `InputError` if a trial's folder contains another configuration, before anything runs."""
        for combination in self.study.possible():
            for draw in self.study.draws:
                folder = RunFolder(self.study.trial_folder(combination, draw))
                if folder.config.exists():
                    open_run(folder, self._experiment(combination, draw, ()).public(), resume=True, alone=False)

    def _prepare(self) -> None:
        """Prepare all scans on each encoder's grid before the first trial, so that trials do not wait for another."""
        from fedtune3d.workflows.prepare import prepare_sites

        experiments = (self._experiment(it, self.study.draws[0], ()) for it in self.study.possible())
        for experiment in {experiment.preparation_settings: experiment for experiment in experiments}.values():
            prepare_sites(experiment, self.progress)

    def _write(self) -> None:
        StudyResults(
            name=self.study.name,
            design=self.study.design,
            seeds=self.study.seeds,
            sites=tuple(site.name for site in self.study.sites),
            baselines=self.study.baselines,
            chosen={part: variant.label for part, variant in self.chosen.items()},
            stages={name: tuple(map(self._record, combinations)) for name, combinations in self.stages.items()},
            faults=dict(sorted(self.faults.items())),
            encoding=self.encoding,
            left_out=self.study.left_out,
            folds={} if self.study.validation is None else self._numbered(),
            outcome=self.study.outcome,
        ).write(self.folder)

    def _record(self, combination: Combination) -> CombinationRecord:
        return CombinationRecord.of(combination, self._numbered(), self._validation(combination))

    def _numbered(self) -> dict[int, Draw]:
        """Number the draws as `StudyResults.draws` does."""
        draws = self.study.draws
        return {draw.seed if draw.fold is None else number: draw for number, draw in enumerate(draws)}
