"""Reading of a study folder, complete or not: its stages, and the run folder of each trial."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from fedtune3d._utils.folders import StudyFolder
from fedtune3d.config.class_names import UNNAMED, ClassNames
from fedtune3d.config.study_axes import RANDOM, STAGES
from fedtune3d.config.study_results import CombinationRecord, EncodingCost, StudyResults, VariantRecord
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.federation.ledger import LedgerLine
from fedtune3d.report.budget import Budget, budgets_of, differing, labelled
from fedtune3d.report.headline import by_place, headline
from fedtune3d.report.number_formatting import METHODS, variant_title
from fedtune3d.report.run_contents import RunContents, read_run
from fedtune3d.report.shown_measure import ShownMeasure, main_measure
from fedtune3d.report.study_estimates import StudyEstimate, over_folds, over_seeds

CROSSED = "trials"
"""The stage of a crossed study that holds every combination."""


@dataclass(frozen=True)
class Cost:
    """The cost of a combination: means over seeds, the peak memory over all of them, and that of encoding a scan.

    `encoding` is None in a study of one encoder, and for a reference with a model of its own.
    """

    trainable_parameters: float
    bytes_per_round_and_site: float
    peak_memory_bytes: float | None
    seconds_per_round: float
    total_bytes: float
    rounds: float
    encoding: EncodingCost | None


@dataclass(frozen=True)
class Row:
    """A combination (or a baseline of it) in a stage's table.

    Attributes:
        key: Unique in the study: the combination's name, or ``local`` and ``centralized``.
        title: The part that differs from the other rows, such as `CONV S`.
        method: ``federated``, ``local`` or ``centralized``.
        kind: ``variant``, ``reference`` or ``baseline``.
        parts: ``encoder`` (if it is an axis), ``head``, ``tuning`` and ``rule`` → title.
        trials: Number (`StudyResults.draws`) → name of the trial.
        chosen: Whether it has the best validation score.
        validation: Mean validation score over trials, the criterion of choice; None for a baseline.
        sites: Site → the main measure of test scans.
        mean: Its mean over sites.
        cost: None for a baseline, and if no seed is finished.
        budgets: Of the seeds that are finished; fewer where a budget is not known.
        differs: What of the budget differs from that of other rows of the stage; empty if nothing does.
        control_of: Key of the row whose encoder it has with random weights; None for other rows.
    """

    key: str
    title: str
    method: str
    kind: str
    parts: Mapping[str, str]
    trials: Mapping[int, str]
    chosen: bool
    validation: float | None
    sites: Mapping[str, StudyEstimate]
    mean: StudyEstimate
    cost: Cost | None
    budgets: tuple[Budget, ...] = ()
    differs: str = ""
    control_of: str | None = None

    @property
    def label(self) -> str:
        """The title, with what of the budget differs from that of the rows that it is compared with."""
        return labelled(self.title, self.differs)

    @property
    def full_title(self) -> str:
        """Encoder (if it is an axis), head, tuning and rule; a reference or baseline has its title only."""
        return ", ".join(self.parts.values()) if self.kind == "variant" else self.title


@dataclass(frozen=True)
class StudyContents:
    """The contents of a study folder.

    Attributes:
        path: The folder.
        results: The record of the study.
        runs: Trial → its run, if it has begun.
    """

    path: Path
    results: StudyResults
    runs: Mapping[str, RunContents]

    @property
    def sites(self) -> list[str]:
        """The names of the sites, in the order of the study file."""
        return list(self.results.sites)

    @property
    def names(self) -> ClassNames:
        """The names of the classes, which all trials share."""
        return next((run.names for run in self.runs.values()), UNNAMED)

    @property
    def numbers(self) -> list[int]:
        """The numbers of each combination's trials: the seeds, or the folds of a cross-validation."""
        return list(self.results.draws)

    @property
    def measure(self) -> ShownMeasure:
        """The main measure of what the models predict, by which combinations are compared."""
        return main_measure(self.results.outcome)

    @property
    def unit(self) -> str:
        """``seed`` or ``fold``: the trials of a combination differ in it."""
        return "fold" if self.results.folds else "seed"

    def label(self, number: int) -> str:
        """Return seed, repeat and fold of a trial, such as `0` or `0, repeat 1, fold 3`."""
        return self.results.draws[number].label

    @property
    def facts(self) -> RunMetrics | None:
        """The origin of scans and weights, from the first finished trial that has an encoder.

        In a study of several encoders, one with pre-trained weights if there is any: random ones are marked in each
        title.
        """
        finished = [run.metrics for run in self.runs.values() if run.metrics is not None]
        with_encoder = [metrics for metrics in finished if metrics.head != "resnet18"]
        if "encoders" in self.results.stages:
            with_encoder.sort(key=lambda metrics: metrics.weights.source == RANDOM)
        return next(iter(with_encoder or finished), None)

    @cached_property
    def stages(self) -> dict[str, list[Row]]:
        """The rows of each stage that has begun; the baselines follow the rules, all of a crossed study comes last."""
        begun = [stage for stage in (*STAGES, CROSSED) if stage in self.results.stages]
        return {stage: with_differences(self._rows(stage)) for stage in begun}

    @property
    def answer(self) -> Row | None:
        """The row chosen last: the study's answer once all stages are done."""
        chosen = [row for row in self.stages.get("rules", []) if row.chosen]
        return chosen[0] if chosen else None

    def finished(self, trials: Mapping[int, str], method: str = "federated") -> dict[int, RunContents]:
        """Return number → run, for the trials that have results of a method."""
        runs = {number: self.runs[trial] for number, trial in trials.items() if trial in self.runs}
        return {
            number: run for number, run in runs.items() if run.metrics is not None and method in run.metrics.evaluated
        }

    def _rows(self, stage: str) -> list[Row]:
        rows = []
        for entry in self.results.stages[stage]:
            varied = list(entry.parts) if stage == CROSSED else [STAGES[stage]]
            chosen = not entry.reference and all(
                self.results.chosen.get(part) == entry.parts[part].label for part in varied
            )
            row = self._row(entry, _title(stage, entry, varied), "federated", chosen)
            if stage == "encoders" and entry.reference and entry.encoder is not None:
                row = replace(row, control_of=self._pretrained(entry.encoder))
            rows.append(row)
        if stage == "rules":
            rows += self._baselines()
        return rows

    def _pretrained(self, encoder: VariantRecord) -> str | None:
        """Return the key of the row in which an encoder has its own weights; None if its head does not fit."""
        entries = self.results.stages["encoders"]
        return next((entry.name for entry in entries if entry.encoder == encoder and not entry.reference), None)

    def _baselines(self) -> list[Row]:
        rows = []
        for method in [name for name in METHODS if name != "federated"]:
            for entry in self.results.stages["rules"]:
                if self.finished(entry.trials, method):
                    rows.append(self._row(entry, METHODS[method], method, False))
                    break
        return rows

    def _row(self, entry: CombinationRecord, title: str, method: str, chosen: bool) -> Row:
        trials, baseline = entry.trials, method != "federated"
        runs = self.finished(trials, method)
        sites, mean = self._estimates(runs, method, self._why_missing(trials))
        return Row(
            key=method if baseline else entry.name,
            title=title,
            method=method,
            kind="baseline" if baseline else "reference" if entry.reference else "variant",
            parts=_part_titles(entry) | ({"rule": "–"} if baseline else {}),
            trials=trials,
            chosen=chosen,
            validation=None if baseline else entry.validation,
            sites=sites,
            mean=mean,
            cost=None if baseline or not runs else _cost(list(runs.values()), self._encoding(entry)),
            budgets=tuple(budgets[method] for run in runs.values() if method in (budgets := budgets_of(run))),
        )

    def _estimates(
        self, runs: Mapping[int, RunContents], method: str, missing: str
    ) -> tuple[dict[str, StudyEstimate], StudyEstimate]:
        """Return the main measure of each site and the mean over sites, over all trials."""
        if self.results.folds:
            return over_folds({number: run.path for number, run in runs.items()}, self.results, method, missing)
        metrics = {seed: run.metrics for seed, run in runs.items() if run.metrics is not None}
        places = {seed: by_place(found, method) for seed, found in metrics.items()}
        sites = {
            site: over_seeds({seed: found[site] for seed, found in places.items()}, missing) for site in self.sites
        }
        return sites, over_seeds({seed: headline(found, method).mean for seed, found in metrics.items()}, missing)

    def _encoding(self, entry: CombinationRecord) -> EncodingCost | None:
        return None if entry.encoder is None else self.results.encoding.get(entry.encoder.label)

    def _why_missing(self, trials: Mapping[int, str]) -> str:
        faults = [self.results.faults[trial] for trial in trials.values() if trial in self.results.faults]
        return f"the run failed: {faults[0]}" if faults else "the run is not complete"


def with_differences(rows: list[Row]) -> list[Row]:
    """Return the rows with what of their budgets differs among them."""
    differs = differing({row.key: row.budgets for row in rows})
    return [replace(row, differs=differs[row.key]) for row in rows]


def read_study(folder: Path) -> StudyContents:
    """Read a study folder and the run folders in it.

    Raises:
        InputError: If the folder holds no study, or a file in it is damaged; names the file.
    """
    study = StudyFolder(folder)
    results = StudyResults.read(study)
    begun = [trial for trial in sorted(results.trials) if study.trial(trial).config.exists()]
    return StudyContents(folder, results, {trial: read_run(study.trial(trial).path) for trial in begun})


def _part_titles(entry: CombinationRecord) -> dict[str, str]:
    titles = {part: variant_title(part, variant) for part, variant in entry.parts.items()}
    return titles | {"tuning": "–", "rule": "–"} if entry.reference else titles


def _title(stage: str, entry: CombinationRecord, varied: Sequence[str]) -> str:
    """Return what distinguishes a combination from the others in its stage."""
    if not entry.reference:
        return ", ".join(variant_title(part, entry.parts[part]) for part in varied)
    reference = variant_title("head", entry.head)
    if entry.encoder is None or stage not in ("encoders", CROSSED):
        return reference
    is_control = entry.head.name == RANDOM
    return _control_title(entry.encoder) if is_control else f"{variant_title('encoder', entry.encoder)}, {reference}"


def _control_title(encoder: VariantRecord) -> str:
    """Return the title of an encoder with random weights in place of its own."""
    notes = ", ".join(filter(None, (encoder.note, "random weights")))
    return variant_title("encoder", replace(encoder, note=notes))


def _cost(runs: Sequence[RunContents], encoding: EncodingCost | None) -> Cost:
    memory = [
        entry.peak_memory_bytes
        for run in runs
        for line in run.ledger
        for entry in line.sites.values()
        if entry.peak_memory_bytes
    ]
    trained = [[line for line in run.ledger if line.trains] for run in runs]
    return Cost(
        trainable_parameters=statistics.fmean(
            run.metrics.cost.trainable_parameters for run in runs if run.metrics is not None
        ),
        bytes_per_round_and_site=statistics.fmean(_bytes_per_round_and_site(lines) for lines in trained),
        peak_memory_bytes=max(memory, default=None),
        seconds_per_round=statistics.fmean(
            statistics.median(line.seconds for line in lines) for lines in trained if lines
        ),
        total_bytes=statistics.fmean(run.total_bytes for run in runs),
        rounds=statistics.fmean(len(lines) for lines in trained),
        encoding=encoding,
    )


def _bytes_per_round_and_site(lines: Sequence[LedgerLine]) -> float:
    took_part = [entry.bytes_both_ways for line in lines for entry in line.sites.values() if entry.participated]
    return statistics.fmean(took_part) if took_part else 0.0
