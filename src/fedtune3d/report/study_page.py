"""The report of a study: one HTML page that opens offline, with its figures and tables next to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fedtune3d._utils.files import write_text
from fedtune3d._utils.folders import RunFolder, StudyFolder
from fedtune3d._utils.version import __version__
from fedtune3d.config.study_axes import STAGES
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.federation.round_state import read_best_state
from fedtune3d.preparation.profiles import Profiles
from fedtune3d.report import number_formatting
from fedtune3d.report.cross_validation_first_screen import NO_MODEL
from fedtune3d.report.few import few_note
from fedtune3d.report.figures.drawing import Drawing, tab_separated
from fedtune3d.report.figures.forest import draw_forest
from fedtune3d.report.figures.intensity_profiles import draw_intensity_profiles
from fedtune3d.report.figures.study_stage import draw_study_stage
from fedtune3d.report.figures.study_weights import draw_study_weights
from fedtune3d.report.figures.trade_off import draw_trade_off
from fedtune3d.report.headline import headline
from fedtune3d.report.page import asset, environment
from fedtune3d.report.page_figures import as_figure
from fedtune3d.report.run_tables import memory_of
from fedtune3d.report.study_captions import how_chosen, state_of_row, study_caveat, with_spread
from fedtune3d.report.study_contents import CROSSED, Row, StudyContents, read_study
from fedtune3d.report.study_first_screen import study_first_screen
from fedtune3d.report.study_operating import OperatingRow, operating_rows, people_tested
from fedtune3d.report.study_ranking import WIDTH, ranked_rows
from fedtune3d.report.study_tables import (
    TITLES,
    PairedRow,
    compared_stages,
    config_rows,
    cost_columns,
    cost_data,
    cost_rows,
    interval_methods,
    paired_rows,
)


def write_study_report(folder: Path) -> Path:
    """Write `report.html`, `figures/` and `tables/` of a study folder from its contents; return the page's path.

    The page of a study in progress has the results so far.

    Raises:
        InputError: If the folder holds no study, or a file in it is damaged.
    """
    contents = read_study(Path(folder))
    differences = paired_rows(contents)
    drawings = _draw(contents, differences)
    for drawing in drawings.values():
        drawing.save(StudyFolder(contents.path).figures)
    write_text(StudyFolder(contents.path).efficiency_table, tab_separated(cost_data(contents)))
    page = StudyFolder(contents.path).report
    write_text(page, _render(contents, drawings, differences))
    return page


def _draw(contents: StudyContents, differences: list[PairedRow]) -> dict[str, Drawing]:
    """Draw the figures for which there are data, by name."""
    drawn = [
        *(
            draw_study_stage(stage, contents.stages[stage], contents.unit, contents.measure, people_tested(contents))
            for stage in compared_stages(contents)
        ),
        draw_study_weights(contents),
        draw_trade_off(contents),
        draw_forest(differences, contents.measure),
        draw_intensity_profiles(_profiles(contents)),
    ]
    drawings = {drawing.name: drawing for drawing in drawn if drawing is not None}
    for drawing in drawings.values():
        drawing.note(number_formatting.short_caveat(contents.facts))
    return drawings


def _profiles(contents: StudyContents) -> Profiles | None:
    """The sites' intensity profiles, from the first trial that has them: all trials have the same scans."""
    return next((run.profiles for run in contents.runs.values() if run.profiles), None)


def _render(contents: StudyContents, drawings: dict[str, Drawing], differences: list[PairedRow]) -> str:
    templates = environment()
    templates.filters |= {"with_spread": with_spread, "state": state_of_row}
    selected, ranked, operating = contents.answer, ranked_rows(contents), operating_rows(contents)
    return templates.get_template("study.html").render(
        contents=contents,
        names=contents.names,
        measure=contents.measure,
        by_class="" if contents.measure.is_error else f", {contents.names.both}",
        first=study_first_screen(contents, ranked),
        no_model=NO_MODEL,
        ranked=ranked,
        dots_width=WIDTH,
        sections=_sections(contents, drawings),
        style=asset("report.css"),
        script=asset("page.js"),
        version=__version__,
        answer_key=selected.key if selected else None,
        how_chosen=how_chosen(contents),
        caveat=study_caveat(contents),
        faults=contents.results.faults,
        figures={name: as_figure(drawing) for name, drawing in drawings.items()},
        what_ran=config_rows(contents),
        titles=TITLES,
        stages=_stages_in_order(contents),
        compared=compared_stages(contents),
        fixed={stage: _held_fixed(contents, stage) for stage in contents.stages},
        costs=cost_rows(contents),
        memory_of=memory_of(next((run.environment.device for run in contents.runs.values() if run.environment), None)),
        cost_columns=cost_columns(contents),
        differences=differences,
        interval_methods=_interval_methods(contents),
        trials=_trial_rows(contents),
        operating=operating,
        people_tested=people_tested(contents),
        few=_few_notes(contents, differences, operating),
    )


def _stages_in_order(contents: StudyContents) -> dict[str, list[Row]]:
    """Return the stages in the order in which a reader asks for them: heads, tunings, rules, encoders, then all."""
    order = ("heads", "tunings", "rules", "encoders", CROSSED)
    return {stage: contents.stages[stage] for stage in order if stage in contents.stages}


def _sections(contents: StudyContents, drawings: dict[str, Drawing]) -> list[tuple[str, str]]:
    stages = [(stage, TITLES[stage]) for stage in _stages_in_order(contents)]
    cost = [("cost", f"{contents.measure.title} against cost")] if "trade_off" in drawings else []
    threshold = [("operating", "Threshold")] if contents.results.outcome.is_binary else []
    others = [("differences", "Differences"), *threshold, ("published", "Published layout")]
    return [("ranking", "Ranking"), *stages, *cost, *others, ("trials", "Trials")]


def _interval_methods(contents: StudyContents) -> list[str]:
    return sorted({method for rows in contents.stages.values() for method in interval_methods(rows)})


def _few_notes(
    contents: StudyContents, differences: Sequence[PairedRow], operating: Sequence[OperatingRow]
) -> dict[str, str]:
    """Return the note on few people under each table, by the section's name."""
    note = partial(few_note, by_class=not isinstance(contents.results.outcome, NumberOutcome))
    notes = {
        stage: note((row.label, [found.estimate for found in (*row.sites.values(), row.mean)]) for row in rows)
        for stage, rows in contents.stages.items()
    }
    rows = {row.key: row for rows in contents.stages.values() for row in rows}.values()
    notes["ranking"] = note((row.full_title, [row.mean.estimate]) for row in rows)
    notes["differences"] = note((row.title, [row.comparison.difference]) for row in differences)
    notes["operating"] = note(
        (entry.row.full_title, (entry.test.sensitivity, entry.test.specificity, entry.test.accuracy))
        for entry in operating
    )
    return notes


def _held_fixed(contents: StudyContents, stage: str) -> str:
    """Describe the parts that are the same for all variants of a stage."""
    if stage not in STAGES:
        return "Every combination of head, tuning and rule, as in the tables above."
    variant = next(row for row in contents.stages[stage] if row.kind == "variant")
    shared = [title for part, title in variant.parts.items() if part != STAGES[stage]]
    kinds = {row.kind for row in contents.stages[stage] if row.control_of is None}
    references = " References have their own." if "reference" in kinds else ""
    return f"Held fixed: {', '.join(shared)}.{references}"


@dataclass(frozen=True)
class TrialRow:
    """A trial in the table of all trials.

    Attributes:
        name: Name of the trial.
        seed: Number of the trial: the seed of its run, or the number of the fold.
        link: Relative path of its report; None if there is none yet.
        validation: The validation score; None before the trial is finished, or if no site has one.
        test: Mean of the main measure over sites; None before the trial is finished.
        state: ``not begun``, ``begun``, ``finished`` or ``failed: …``.
    """

    name: str
    seed: int
    link: str | None
    validation: float | None
    test: Estimate | None
    state: str


def _trial_rows(contents: StudyContents) -> list[TrialRow]:
    """Return each trial once, in the order of the stages."""
    numbers = {
        trial: number
        for rows in contents.stages.values()
        for row in rows
        if row.kind != "baseline"
        for number, trial in row.trials.items()
    }
    return [_trial_row(contents, name, number) for name, number in numbers.items()]


def _trial_row(contents: StudyContents, name: str, number: int) -> TrialRow:
    run, fault = contents.runs.get(name), contents.results.faults.get(name)
    metrics = None if run is None else run.metrics
    report = RunFolder(run.path).report if run is not None else None
    state = "finished" if metrics else "begun" if run else "not begun"
    best = StudyFolder(contents.path).trial(name).best_checkpoint
    return TrialRow(
        name=name,
        seed=number,
        link=report.relative_to(contents.path).as_posix() if report is not None and report.exists() else None,
        validation=read_best_state(best).validation.score(contents.results.outcome) if metrics else None,
        test=headline(metrics).mean if metrics else None,
        state=f"failed: {fault}" if fault else state,
    )
