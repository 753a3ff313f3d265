"""The report of a cross-validation: one HTML page that opens offline, with its figure and tables next to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.files import write_text
from fedtune3d._utils.folders import CrossValidationFolder
from fedtune3d._utils.version import __version__
from fedtune3d.evaluation.cross_validation import CrossValidationResults, all_folds
from fedtune3d.federation.environment import Environment
from fedtune3d.report import number_formatting
from fedtune3d.report.cross_validation_tables import (
    answer,
    calibration_rows,
    design,
    fold_data,
    fold_rows,
    rows_of,
    shown_methods,
    spread,
)
from fedtune3d.report.few import few_note
from fedtune3d.report.figures.drawing import tab_separated
from fedtune3d.report.figures.fold_aucs import draw_fold_aucs
from fedtune3d.report.page import asset, environment
from fedtune3d.report.page_figures import as_figure
from fedtune3d.report.run_contents import RunContents, read_run
from fedtune3d.report.run_tables import what_ran

SHARED = ("Sites", "Groups", "Methods", "Server saw", "Encoder", "Weights", "Pre-trained on", "Device", "Seed")
"""What the runs of all folds have in common."""


def write_cross_validation_report(folder: Path) -> Path:
    """Write `report.html`, `figures/` and `tables/` of a cross-validation from its folder; return the page's path.

    The page of one in progress has the folds so far.

    Raises:
        InputError: If the folder holds no results of a cross-validation, or a file in it is damaged.
    """
    paths = CrossValidationFolder(Path(folder))
    results = CrossValidationResults.read(paths)
    runs = {run.path.name: read_run(run.path) for run in paths.begun}
    drawing = draw_fold_aucs(results)
    if drawing is not None:
        drawing.note(number_formatting.short_caveat(_facts(runs)))
        drawing.save(paths.figures)
    write_text(paths.table, tab_separated(fold_data(results)))
    templates = environment()
    templates.filters["spread"] = spread
    text = templates.get_template("cross_validation.html").render(
        results=results,
        style=asset("report.css"),
        script=asset("page.js"),
        version=__version__,
        answer=answer(results),
        caveat=number_formatting.caveat(_facts(runs)),
        what_ran=_what_ran(results, runs),
        methods={name: number_formatting.METHODS[name] for name in shown_methods(results)},
        rows=rows_of(results),
        folds=fold_rows(results),
        calibrations=calibration_rows(results),
        figure_of_folds=None if drawing is None else as_figure(drawing),
        trainings=_trainings(results, paths, runs),
        interval_methods=_interval_methods(results),
        few=few_note((row.name, [auc.estimate for auc in row.by_method.values()]) for row in rows_of(results)),
    )
    write_text(paths.report, text)
    return paths.report


@dataclass(frozen=True)
class FoldRun:
    """The run of a fold: its name, the relative path of its report (None if there is none yet), and its state."""

    name: str
    link: str | None
    state: str


def _trainings(
    results: CrossValidationResults, paths: CrossValidationFolder, runs: Mapping[str, RunContents]
) -> list[FoldRun]:
    return [
        _training(f"repeat{number.repeat}-fold{number.fold}", results, paths, runs)
        for number in all_folds(results.folds, results.repeats)
    ]


def _training(
    name: str, results: CrossValidationResults, paths: CrossValidationFolder, runs: Mapping[str, RunContents]
) -> FoldRun:
    run, report = runs.get(name), paths.fold(name).report
    state = "not begun" if run is None else "finished" if run.metrics is not None else "begun"
    fault = results.faults.get(name)
    link = report.relative_to(paths.path).as_posix() if report.exists() else None
    return FoldRun(name, link, f"failed: {fault}" if fault else state)


def _facts(runs: Mapping[str, RunContents]) -> Environment | None:
    """The origin of scans and weights, the same in all folds."""
    return next((run.environment for run in runs.values() if run.environment is not None), None)


def _what_ran(results: CrossValidationResults, runs: Mapping[str, RunContents]) -> list[tuple[str, str]]:
    """Summarise the experiment as names and values: the folds, and what their runs have in common."""
    first = next((run for run in runs.values() if run.metrics is not None), None)
    shared = [] if first is None else [line for line in what_ran(first) if line[0] in SHARED]
    return [("Experiment", results.experiment), ("Cross-validation", design(results)), *shared]


def _interval_methods(results: CrossValidationResults) -> list[str]:
    estimates = [auc.estimate for row in rows_of(results) for auc in row.by_method.values()]
    return sorted({estimate.method for estimate in estimates} - {""})
