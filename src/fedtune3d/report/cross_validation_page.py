"""The report of a cross-validation: one HTML page that opens offline, with its figure and tables next to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.files import write_text
from fedtune3d._utils.folders import CrossValidationFolder
from fedtune3d._utils.version import __version__
from fedtune3d.evaluation.cross_validated import all_folds
from fedtune3d.evaluation.cross_validation import CrossValidationResults, MeasureName
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.federation.environment import Environment
from fedtune3d.report import number_formatting
from fedtune3d.report.cross_validation_first_screen import cross_validation_first_screen
from fedtune3d.report.cross_validation_tables import (
    CrossValidationRow,
    FoldRow,
    answer,
    calibration_rows,
    design,
    fold_data,
    fold_rows,
    measures_of,
    residual_rows,
    rows_of,
    shown_methods,
    spread,
)
from fedtune3d.report.few import few_note
from fedtune3d.report.figures.drawing import Drawing, tab_separated
from fedtune3d.report.figures.fold_values import FIGURES, draw_errors_out_of_fold, draw_fold_values
from fedtune3d.report.page import asset, environment
from fedtune3d.report.page_figures import PageFigure, as_figure
from fedtune3d.report.run_contents import RunContents, read_run
from fedtune3d.report.run_tables import what_ran
from fedtune3d.report.shown_measure import ShownMeasure, main_measure, shown_measure

SHARED = ("Sites", "Groups", "Methods", "Server saw", "Encoder", "Weights", "Pre-trained on", "Device", "Seed")
"""Settings that the runs of all folds have in common."""


def write_cross_validation_report(folder: Path) -> Path:
    """Write `report.html`, `figures/` and `tables/` of a cross-validation from its folder; return the page's path.

    The page of one in progress has the folds so far.

    Raises:
        InputError: If the folder holds no results of a cross-validation, or a file in it is damaged.
    """
    paths = CrossValidationFolder(Path(folder))
    results = CrossValidationResults.read(paths)
    runs = {run.path.name: read_run(run.path) for run in paths.begun}
    drawings = _draw(results)
    for drawing in drawings.values():
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
        first=cross_validation_first_screen(results, runs),
        caveat=number_formatting.caveat(_facts(runs)),
        what_ran=_what_ran(results, runs),
        methods={name: number_formatting.METHODS[name] for name in shown_methods(results)},
        main=main_measure(results.outcome),
        sections=[_section(results, measure, drawings) for measure in measures_of(results)],
        calibrations=calibration_rows(results),
        residuals=residual_rows(results),
        figures={name: as_figure(drawing) for name, drawing in drawings.items()},
        trainings=_trainings(results, paths, runs),
    )
    write_text(paths.report, text)
    return paths.report


@dataclass(frozen=True)
class MeasureSection:
    """A measure on the page: its rows and folds, its figure, and the notes under its table."""

    measure: ShownMeasure
    rows: Sequence[CrossValidationRow]
    folds: Sequence[FoldRow]
    figure: PageFigure | None
    interval_methods: Sequence[str]
    few: str


def _draw(results: CrossValidationResults) -> dict[str, Drawing]:
    """Draw the figures for which there are data, by name."""
    drawn = [
        *(draw_fold_values(results, measure) for measure in measures_of(results)),
        draw_errors_out_of_fold(results),
    ]
    return {drawing.name: drawing for drawing in drawn if drawing is not None}


def _section(results: CrossValidationResults, measure: MeasureName, drawings: Mapping[str, Drawing]) -> MeasureSection:
    rows, drawing = rows_of(results, measure), drawings.get(FIGURES[measure])
    estimates = [found.estimate for row in rows for found in row.by_method.values()]
    return MeasureSection(
        measure=shown_measure(measure, results.outcome),
        rows=rows,
        folds=fold_rows(results, measure),
        figure=None if drawing is None else as_figure(drawing),
        interval_methods=sorted({estimate.method for estimate in estimates} - {""}),
        few=few_note(
            ((row.name, [found.estimate for found in row.by_method.values()]) for row in rows),
            by_class=not isinstance(results.outcome, NumberOutcome),
        ),
    )


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
