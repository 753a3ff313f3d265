"""Commands that run an experiment or a study and write the report: run, benchmark, report."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from fedtune3d._utils.errors import InputError
from fedtune3d.cli.before_a_run import print_study_plan
from fedtune3d.cli.shared import (
    ExperimentFile,
    Port,
    Watched,
    err,
    held_output,
    out,
    print_result,
    progress_bars,
    read_experiment,
    require_study,
    watched_bars,
)

if TYPE_CHECKING:
    from fedtune3d.config.experiment import Experiment


def run(
    experiment: ExperimentFile,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the output folder.")] = False,
    rounds: Annotated[
        int | None,
        typer.Option(help="Override the number of rounds; with --resume, extend a finished run.", min=1),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Number of processes that hold the sites, each with the experiment's number of threads, or of folds "
            "at once; by default the experiment's `workers`. The result is the same for any number.",
            min=1,
        ),
    ] = None,
    watch: Watched = False,
    port: Port = None,
) -> None:
    """Train across the sites, evaluate on each site's test scans, and write the report.

    With `validation` in the file, every fold of the cross-validation is run. Can be stopped with Ctrl-C at any time;
    --resume continues and gives the same result.
    """
    with held_output(experiment, "fedtune3d run"):
        from fedtune3d.workflows.run import run_experiment

        settings = read_experiment(experiment)
        if rounds is not None:
            settings = settings.with_rounds(rounds)
        if workers is not None:
            settings = settings.model_copy(update={"workers": workers})
        if settings.validation is not None and settings.fold is None:
            _run_folds(experiment, settings, resume, watch)
            return
        try:
            with watched_bars(settings.output, watch, port) as progress:
                folder = run_experiment(settings, resume=resume, progress=progress)
        except KeyboardInterrupt:
            err.print(f"stopped; continue with: fedtune3d run {quote(str(experiment))} --resume")
            raise typer.Exit(130) from None
    print_result(folder)


def _run_folds(path: Path, experiment: "Experiment", resume: bool, watch: bool) -> None:
    """Run a cross-validation, with as many folds at once as the experiment has workers."""
    from fedtune3d.evaluation.cross_validation import CrossValidationResults
    from fedtune3d.report.cross_validation_tables import answer, cross_validation_tables
    from fedtune3d.workflows.cross_validate import cross_validate

    if watch:
        raise InputError("--watch follows one run, not the folds of a cross-validation; leave --watch out")
    try:
        with progress_bars() as bars:
            folder = cross_validate(
                experiment, workers=experiment.workers, resume=resume, progress=bars, on_message=err.print
            )
    except KeyboardInterrupt:
        err.print(f"stopped; continue with: fedtune3d run {quote(str(path))} --resume")
        raise typer.Exit(130) from None
    if folder.results.exists():
        results = CrossValidationResults.read(folder)
        for table in cross_validation_tables(results):
            out.print(table)
        out.print(answer(results))
        out.print(f"report: {folder.report}", soft_wrap=True)
        for fold, fault in results.faults.items():
            err.print(f"failed: {fold}: {fault}")
        if results.faults:
            raise typer.Exit(1)


def benchmark(
    study: Annotated[
        Path, typer.Argument(metavar="STUDY.yaml", help="An experiment file with lists of heads, tunings or rules.")
    ],
    workers: Annotated[
        int,
        typer.Option(
            help="Number of trials run in parallel, each with the file's `threads`. The file's `workers` are used only "
            "with one trial at a time.",
            min=1,
        ),
    ] = 1,
    plan: Annotated[bool, typer.Option(help="Print an estimate of the cost first.")] = True,
) -> None:
    """Run a study that compares heads, tunings, rules and baselines, and write tables, figures and a report.

    Can be stopped with Ctrl-C at any time; the same command continues without repeating finished trials.
    """
    with held_output(study, "fedtune3d benchmark"):
        from fedtune3d.config.study import Study
        from fedtune3d.report import caveat
        from fedtune3d.report.study_captions import answer
        from fedtune3d.report.study_contents import read_study
        from fedtune3d.report.study_tables import stage_tables
        from fedtune3d.workflows.study import run_study

        require_study(study)
        grid = Study.from_yaml(study)
        if plan:
            print_study_plan(grid, workers)
        try:
            with progress_bars() as bars:
                folder = run_study(grid, workers=workers, progress=bars, on_message=err.print)
        except KeyboardInterrupt:
            err.print(f"stopped; continue with: fedtune3d benchmark {quote(str(study))}")
            raise typer.Exit(130) from None
    contents = read_study(folder.path)
    for table in stage_tables(contents):
        out.print(table)
    out.print(answer(contents) or "")
    if text := caveat(contents.facts):
        out.print(text)
    out.print(f"report: {folder.report}", soft_wrap=True)
    for trial, fault in contents.results.faults.items():
        err.print(f"failed: {trial}: {fault}")
    if contents.results.faults:
        raise typer.Exit(1)


def report(
    run_folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder of a run, a study or a cross-validation, finished or not."),
    ],
) -> None:
    """Rewrite the figures and report.html of a run, a study or a cross-validation.

    A cross-validation is combined again from the folds in its folder, wherever these ran.
    """
    from fedtune3d._utils.folders import CrossValidationFolder, StudyFolder
    from fedtune3d.report import write_cross_validation_report, write_report, write_study_report
    from fedtune3d.workflows.cross_validate import write_results

    if CrossValidationFolder(run_folder).begun:
        write_results(CrossValidationFolder(run_folder))
        page = write_cross_validation_report(run_folder)
    elif StudyFolder(run_folder).results.exists():
        page = write_study_report(run_folder)
    else:
        page = write_report(run_folder)
    out.print(f"report: {page}", soft_wrap=True)
