"""Cross-validate an experiment: run its folds, each in a process of its own, and combine their results."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import sweep_partials
from fedtune3d._utils.folders import CrossValidationFolder, RunFolder
from fedtune3d._utils.locks import is_unused, one_writer
from fedtune3d._utils.progress import Progress, Silent
from fedtune3d._utils.run_config import read_run_config
from fedtune3d._utils.typed_json import write_typed
from fedtune3d.config.cross_validation import CrossValidation
from fedtune3d.config.experiment import SPLIT_CAUSES, Experiment
from fedtune3d.config.outcome import recorded_outcome
from fedtune3d.evaluation.cross_validated import FoldNumber, all_folds
from fedtune3d.evaluation.cross_validation import CrossValidationResults, cross_validated_methods, read_summaries
from fedtune3d.evaluation.outcome import Outcome
from fedtune3d.report.headline import brief
from fedtune3d.report.logs import require_packages
from fedtune3d.workflows.prepare import prepare_sites, read_tables, require_roots
from fedtune3d.workflows.run_folder import open_run, read_metrics
from fedtune3d.workflows.sites import make_sites
from fedtune3d.workflows.trial_processes import TrialProcesses, as_trial, is_finished

_NAME_LENGTH = 44
"""Characters of an experiment's name in those of its folds, which are limited to 64."""


def cross_validate(
    experiment: Experiment,
    *,
    workers: int = 1,
    resume: bool = False,
    progress: Progress | None = None,
    on_message: Callable[[str], None] = lambda text: None,
) -> CrossValidationFolder:
    """Run all unfinished folds of an experiment with `validation`, and write the results and the report.

    If a fold fails, the failure is recorded and the others continue; the next call repeats it.

    Args:
        experiment: The experiment.
        workers: Number of folds that run in parallel, each in its own process. The experiment's own `workers`, of a
            run, count only for one fold at a time.
        resume: Continue the cross-validation in the output folder; otherwise, a folder with one is refused.
        progress: Where the progress of scan preparation is shown.
        on_message: Called with a line for each fold that ends.

    Raises:
        InputError: If the input is invalid, a site has fewer people of a class than there are folds, or the output
            folder contains something else.
    """
    folds = {name: as_trial(fold, workers) for name, fold in fold_experiments(experiment).items()}
    require_packages(experiment.log)
    require_roots(experiment)
    folder, progress = CrossValidationFolder(experiment.output), progress or Silent()
    with one_writer(folder.path, "fedtune3d run"):
        sweep_partials(folder.path)
        _open(folder, folds, resume)
        first = next(iter(folds.values()))
        read_tables(make_sites(first, RunFolder(first.output), progress))
        prepare_sites(first, progress)
        return _run(experiment, folds, folder, workers, on_message)


def fold_experiments(experiment: Experiment) -> dict[str, Experiment]:
    """Return name of a fold → its experiment, with a run folder below the output of the whole.

    Raises:
        InputError: If the experiment is not cross-validated.
    """
    if (validation := experiment.validation) is None:
        raise InputError("validation: missing; write validation: {folds: 5} to cross-validate an experiment")
    folder = CrossValidationFolder(experiment.output)
    return {
        fold.name: experiment.model_copy(
            update={
                "name": f"{experiment.name[:_NAME_LENGTH]}-{fold.name}",
                "validation": validation.of(fold),
                "output": folder.fold(fold.name).path,
            }
        )
        for fold in validation.all_folds()
    }


def first_fold(experiment: Experiment) -> Experiment:
    """Return the experiment of the first fold of a cross-validation; any other experiment as it is."""
    if experiment.validation is None or experiment.fold is not None:
        return experiment
    return next(iter(fold_experiments(experiment).values()))


def _open(folder: CrossValidationFolder, folds: Mapping[str, Experiment], resume: bool) -> None:
    """Check that the folder is unused, or contains the same cross-validation, before anything runs."""
    if not folder.begun:
        if not is_unused(folder.path) and not folder.results.exists():
            raise InputError(f"{folder.path}: contains files but no cross-validation; change `output`")
        return
    if not resume:
        raise InputError(
            f"{folder.path}: already contains a cross-validation; add --resume to continue it, or change `output`"
        )
    for name, fold in folds.items():
        if folder.fold(name).config.exists():
            open_run(folder.fold(name), fold.public(), resume=True, alone=False)


def _run(
    experiment: Experiment,
    folds: Mapping[str, Experiment],
    folder: CrossValidationFolder,
    workers: int,
    on_message: Callable[[str], None],
) -> CrossValidationFolder:
    from fedtune3d.report.cross_validation_page import write_cross_validation_report

    assert experiment.validation is not None  # as it has folds
    faults: dict[str, str] = {}
    names = {fold.name: name for name, fold in folds.items()}
    repeats = experiment.validation.repeats
    write_results(folder, experiment.name, repeats, faults)
    try:
        unfinished = [fold for fold in folds.values() if not is_finished(fold)]
        for fold, fault in TrialProcesses(folder.log).run(unfinished, workers):
            if fault is not None:
                faults[names[fold.name]] = fault
            on_message(f"{names[fold.name]}: {_outcome(fold, fault)}")
            write_results(folder, experiment.name, repeats, faults)
    finally:
        if folder.results.exists():
            write_cross_validation_report(folder.path)
    return folder


def _outcome(fold: Experiment, fault: str | None) -> str:
    if fault is not None:
        return f"failed: {fault}"
    return brief(read_metrics(RunFolder(fold.output)))


def write_results(
    folder: CrossValidationFolder, name: str | None = None, repeats: int = 1, faults: Mapping[str, str] | None = None
) -> None:
    """Combine the folds in a folder, wherever they ran, and write the results; nothing before the first fold begins.

    Args:
        folder: The folder, with a run folder for each fold.
        name: Name of the experiment; None for that of the results so far, or else of a fold.
        repeats: Number of repeats; at least that of the results so far, and of the folds.
        faults: Name of a fold → why its run failed; None for those of the results so far.

    Raises:
        InputError: If the folds are not of one cross-validation, or a file is damaged.
    """
    runs = folder.begun
    if not runs:
        return
    before = CrossValidationResults.read(folder) if folder.results.exists() else None
    folds = [_read_fold(run) for run in runs]
    if len({fold.of_all for fold in folds}) > 1:
        raise InputError(
            f"{folder.path}: expected folds of one cross-validation, with the same seed, sites, labels, splits and "
            "number of folds; move the others"
        )
    first = folds[0]
    repeats = max(repeats, *(fold.number.repeat for fold in folds), before.repeats if before else 1)
    found = {
        fold.number: read_summaries(run, first.sites, first.outcome) for fold, run in zip(folds, runs, strict=True)
    }
    summaries = {number: by_site for number, by_site in found.items() if by_site is not None}
    results = CrossValidationResults(
        version=2,
        experiment=name or (before.experiment if before else first.experiment),
        folds=first.folds,
        repeats=repeats,
        sites=first.sites,
        faults=dict(sorted((before.faults if faults is None and before else faults or {}).items())),
        methods=cross_validated_methods(summaries, first.sites, all_folds(first.folds, repeats)),
        outcome=first.outcome,
    )
    write_typed(folder.results, results)


@dataclass(frozen=True)
class _FoldRun:
    """The configuration of a fold's run; `of_all` is what all folds of a cross-validation have in common."""

    experiment: str
    number: FoldNumber
    folds: int
    sites: tuple[str, ...]
    outcome: Outcome
    of_all: str


def _read_fold(run: RunFolder) -> _FoldRun:
    config = read_run_config(run.config)
    try:
        validation = CrossValidation.model_validate(config.get("validation"))
    except ValidationError:
        validation = None
    if validation is None or validation.only is None:
        raise InputError(f"{run.config}: expected the run of one fold of a cross-validation; move {run.path}")
    return _FoldRun(
        experiment=config["name"],
        number=FoldNumber(validation.only.repeat, validation.only.fold),
        folds=validation.folds,
        sites=tuple(site["name"] for site in config["sites"]),
        outcome=recorded_outcome(config),
        of_all=json.dumps([validation.folds, *(config.get(cause) for cause in SPLIT_CAUSES)], sort_keys=True),
    )
