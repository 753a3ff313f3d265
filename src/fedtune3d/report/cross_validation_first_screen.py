"""The first screen of a cross-validation: the question, on whom it was tested, the baselines, what left, what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedtune3d.config.class_names import of_class
from fedtune3d.evaluation.cross_validated import FoldNumber
from fedtune3d.evaluation.cross_validation import CrossValidationResults
from fedtune3d.evaluation.outcome import NumberOutcome, in_shown_order
from fedtune3d.report.cross_validation_tables import design, shown_methods
from fedtune3d.report.first_screen import MODALITY, asked, run_setting
from fedtune3d.report.number_formatting import METHODS, plural
from fedtune3d.report.run_contents import RunContents
from fedtune3d.report.sample_sizes import people_in_each
from fedtune3d.report.shown_measure import main_measure
from fedtune3d.report.statements import ci
from fedtune3d.report.what_left import what_left_short

NO_MODEL = (
    "a cross-validation leaves no single model. To predict new scans, run the experiment without `validation`, "
    "then `fedtune3d predict`"
)
"""Advice on a new scan."""


@dataclass(frozen=True)
class CrossValidationFirstScreen:
    """The first screen.

    Attributes:
        question: What is asked of a scan; the experiment's name before any fold has begun.
        setting: Experiment, folds, and what the first fold's run was, in one line.
        facts: Name → text: on whom it was tested, the baselines, what left the sites, what to do with a new scan.
    """

    question: str
    setting: str
    facts: Sequence[tuple[str, str]]


def cross_validation_first_screen(
    results: CrossValidationResults, runs: Mapping[str, RunContents]
) -> CrossValidationFirstScreen:
    """Summarise a cross-validation for its first screen.

    Args:
        results: The record of the cross-validation.
        runs: Name of a fold → its run, if it has begun.
    """
    first = next(iter(runs.values()), None)
    setting = [plural(len(results.sites), "site")] if first is None else run_setting(first)[1:]
    facts = [
        *_tested(results, runs),
        *_baselines(results),
        *([("Left the sites", f"in each fold: {what_left_short(first)}")] if first is not None else []),
        ("A new scan", NO_MODEL),
    ]
    return CrossValidationFirstScreen(
        question=results.experiment if first is None else f"{asked(results.outcome, first.names)} from {MODALITY}",
        setting=" · ".join([*([results.experiment] if first is not None else []), design(results), *setting]),
        facts=facts if "federated" in results.methods else [],
    )


def _tested(results: CrossValidationResults, runs: Mapping[str, RunContents]) -> list[tuple[str, str]]:
    """Say on how many people it was tested, once the first repeat is finished, which tests each person once."""
    numbers = [FoldNumber(1, fold) for fold in range(1, results.folds + 1)]
    folds = [runs.get(f"repeat{number.repeat}-fold{number.fold}") for number in numbers]
    metrics = [run.metrics for run in folds if run is not None and run.metrics is not None]
    if len(metrics) < results.folds:
        return []
    counts = [people_in_each(test) for found in metrics for test in found.evaluated["federated"].sites.values()]
    by_class = tuple(map(sum, zip(*counts, strict=True)))
    groups = [found.test_groups for found in metrics if found.test_groups is not None]
    people = sum(groups) if len(groups) == len(metrics) else sum(by_class)
    named = ""
    if not isinstance(results.outcome, NumberOutcome):
        names = next(run.names for run in folds if run is not None).in_order
        listed = in_shown_order(of_class(count, name) for count, name in zip(by_class, names, strict=True))
        named = f" ({', '.join(listed)})"
    noun = "person" if people == 1 else "people"
    each = "each once per repeat" if results.repeats > 1 else "each once"
    return [
        (
            "Tested on",
            f"{people} {noun}{named} at {plural(len(results.sites), 'site')}, {each}, by a model trained without them",
        )
    ]


def _baselines(results: CrossValidationResults) -> list[tuple[str, str]]:
    measure = main_measure(results.outcome)
    means = [
        f"{METHODS[name].lower()} {measure.name} {ci(results.methods[name].mean.estimate, unit=measure.unit)}"
        for name in shown_methods(results)
        if name != "federated"
    ]
    return [("Baselines", f"{'; '.join(means)}. Whether the models differ was not tested")] if means else []
