"""The first screen of a study: what was selected, on what evidence, and whether it beats the runner-up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fedtune3d._utils.version import __version__
from fedtune3d.config.class_names import ClassNames, of_class
from fedtune3d.evaluation.against_baselines import AnyComparison
from fedtune3d.evaluation.estimate import FEW
from fedtune3d.evaluation.outcome import NumberOutcome, in_shown_order
from fedtune3d.report.first_screen import MODALITY, Against, against, asked, mean_over, with_ties_merged
from fedtune3d.report.number_formatting import duration, plural, size
from fedtune3d.report.result_warnings import CHANCE
from fedtune3d.report.run_contents import RunContents
from fedtune3d.report.shown_measure import ShownMeasure
from fedtune3d.report.statements import NOT_SHOWN, verdict
from fedtune3d.report.study_captions import criterion_mean
from fedtune3d.report.study_comparison import compare
from fedtune3d.report.study_contents import Row, StudyContents
from fedtune3d.report.study_ranking import RankedRow, runner_up
from fedtune3d.report.ties import tie
from fedtune3d.report.what_left import what_left_short


@dataclass(frozen=True)
class StudyFirstScreen:
    """The first screen.

    Attributes:
        question: What was compared, for which question.
        setting: Study, sites, seeds, date and version in one line.
        selected: The selected combination; empty before there is one.
        value: The main measure of its test scans, the mean over sites, with its unit.
        interval: The interval of that, or why there is none.
        mean_of: What it is a mean of.
        against: The selected one minus the runner-up and the baselines.
        evidence: How it was selected, and whether it beats the runner-up.
        facts: Name → text: on whom it was tested, what left the sites, what it costs.
        trial: The name of the trial whose model predicts new scans; empty in a cross-validation.
    """

    question: str
    setting: str
    selected: str
    value: str
    interval: str
    mean_of: str
    against: Sequence[Against]
    evidence: str
    facts: Sequence[tuple[str, str]]
    trial: str = ""


def study_first_screen(contents: StudyContents, ranked: Sequence[RankedRow]) -> StudyFirstScreen:
    """Summarise a study for its first screen."""
    names, selected = contents.names, contents.answer
    parts = ["encoder"] if "encoders" in contents.stages else []
    of_what = asked(contents.results.outcome, names)
    question = f"Which {', '.join([*parts, 'head', 'tuning'])} and aggregation rule? {of_what} from {MODALITY}"
    setting = " · ".join(_setting(contents))
    if selected is None:
        return StudyFirstScreen(question, setting, "", "", "", "", (), "", ())
    having = sum(bool(found.values) for found in selected.sites.values())
    run = _first_run(contents, selected)
    limits = selected.mean.estimate.limits
    seeds = f", {plural(len(selected.mean.values), contents.unit)}" if len(contents.numbers) > 1 else ""
    return StudyFirstScreen(
        question=question,
        setting=setting,
        selected=", ".join(selected.parts.values()),
        value="–" if limits is None else f"{limits[0]:.2f} {contents.measure.unit}".rstrip(),
        interval=f"not defined: {selected.mean.estimate.undefined}"
        if limits is None
        else f"95% CI {limits[1]:.2f}–{limits[2]:.2f}",
        mean_of=f"{mean_over(having, len(contents.sites))}{seeds}",
        against=_against(contents, ranked, selected),
        evidence=_evidence(contents, ranked, selected),
        facts=_facts(contents, ranked, selected, names),
        trial="" if run is None or contents.unit == "fold" else run.path.name,
    )


def _setting(contents: StudyContents) -> list[str]:
    parts = [contents.results.name, plural(len(contents.sites), "site"), plural(len(contents.results.seeds), "seed")]
    environments = [run.environment for run in contents.runs.values() if run.environment is not None]
    started = [datetime.fromisoformat(found.started) for found in environments if found.started is not None]
    if started:
        parts.append(f"{min(started).day} {min(started):%b %Y}")
    version = environments[0].versions.get("fedtune3d", __version__) if environments else __version__
    return [*parts, f"fedtune3d {version}"]


def _against(contents: StudyContents, ranked: Sequence[RankedRow], selected: Row) -> list[Against]:
    second = runner_up(contents, ranked)
    others = [("runner-up", second.row)] if second else []
    others += [(entry.row.title.lower(), entry.row) for entry in ranked if entry.row.kind == "baseline"]
    compared = [(title, compare(contents, selected, row, contents.numbers)) for title, row in others]
    of_errors, unit = contents.measure.is_error, contents.measure.unit
    found = [
        against(title, among.difference, verdict(among.difference, of_errors), unit)
        for title, among in compared
        if among is not None
    ]
    return with_ties_merged(found)


def _evidence(contents: StudyContents, ranked: Sequence[RankedRow], selected: Row) -> str:
    validation = "" if selected.validation is None else f" ({selected.validation:.3f})"
    name = contents.measure.validation
    text = f"Selected by its validation {name}{validation}, the {criterion_mean(contents)}; test scans were not used."
    limits = selected.mean.estimate.limits
    if limits is not None and not contents.measure.is_error and limits[1] <= CHANCE:
        text += f" It is not shown to be better than chance (AUC {CHANCE:.2f})."
    second = runner_up(contents, ranked)
    if second is None:
        return f"{text} There is no runner-up."
    behind = "" if second.row.validation is None else f" ({second.row.validation:.3f})"
    comparison = compare(contents, selected, second.row, contents.numbers)
    text += f" Runner-up: {second.title}{behind}."
    if selected.validation is not None and selected.validation == second.row.validation:
        text += " Both have the same validation score; the selected one was listed first."
    return f"{text} {_beats(comparison, contents.measure)}".rstrip()


def _beats(comparison: AnyComparison | None, measure: ShownMeasure) -> str:
    """Say whether the selected one beats the runner-up; the difference itself stands next to the result."""
    if comparison is None:
        return "Their difference on the same test people is not known here."
    if not (found := verdict(comparison.difference, measure.is_error)):
        # A tie is said there, too.
        return "" if tie(comparison.difference) else "Their difference on the same test people is not defined."
    words = {
        "better": "the selected one is better (not adjusted for the other comparisons)",
        "worse": "the selected one is worse (not adjusted for the other comparisons)",
        NOT_SHOWN: "no difference is shown (the 95% CI includes 0)",
    }
    direction = " A difference below 0 means a smaller error of the selected one." if measure.is_error else ""
    return f"On the same test people {words[found]}.{direction}"


def _tested(contents: StudyContents, people: str, selected: Row, names: ClassNames) -> str:
    """Say on how many people of each class a combination was tested; seeds may differ in it."""
    in_a_class = ""
    counts = people.split(" + ")
    if isinstance(contents.results.outcome, NumberOutcome):
        text = f"{people} people"
    else:
        in_a_class = " in a class"
        named = zip(counts, in_shown_order(names.in_order), strict=True)
        by_class = ", ".join(of_class(count, name) for count, name in named) if len(counts) > 1 else people
        whole = all(count.isdigit() for count in counts)
        text = f"{sum(map(int, counts))} people ({by_class})" if whole else f"{by_class} people"
    text += f" at {plural(len(contents.sites), 'site')}, used neither for training nor for selection"
    if selected.mean.estimate.mark:
        text += f". Some sites have fewer than {FEW} people{in_a_class}, so intervals are wide"
    return text


def _first_run(contents: StudyContents, selected: Row) -> RunContents | None:
    return next(iter(contents.finished(selected.trials).values()), None)


def _facts(
    contents: StudyContents, ranked: Sequence[RankedRow], selected: Row, names: ClassNames
) -> list[tuple[str, str]]:
    people = next(entry.people for entry in ranked if entry.row.key == selected.key)
    facts = [("Tested on", _tested(contents, people, selected, names))]
    if (trial := _first_run(contents, selected)) is not None:
        facts.append(("Left the sites", f"in each trial: {what_left_short(trial)}"))
    if selected.cost is not None:
        cost = selected.cost
        facts.append(
            (
                "Costs",
                f"{cost.trainable_parameters:,.0f} trainable parameters; {size(cost.total_bytes)} of traffic in "
                f"{cost.rounds:.0f} rounds; {duration(cost.seconds_per_round)} per round",
            )
        )
    trials = contents.results.trials
    finished = sum(run.metrics is not None for run in contents.runs.values())
    failed = f"; {len(contents.results.faults)} failed" if contents.results.faults else ""
    return [*facts, ("Trials", f"{finished} of {len(trials)} finished{failed}")]
