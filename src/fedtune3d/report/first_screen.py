"""The first screen of a run: the question, the answer, and what is needed to judge it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from fedtune3d._utils.version import __version__
from fedtune3d.config.class_names import ClassNames, of_class
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.outcome import NumberOutcome, Outcome
from fedtune3d.report.checks import Check, checks
from fedtune3d.report.few_sites import few_sites_text
from fedtune3d.report.first_outcome import included, outcome_facts, trained_on
from fedtune3d.report.headline import Headline, headline
from fedtune3d.report.number_formatting import METHODS, encoder_with_weights, plural, setup, sites_have, threshold
from fedtune3d.report.result_warnings import result_warnings
from fedtune3d.report.run_contents import RunContents
from fedtune3d.report.statements import (
    calibration_words,
    ci,
    comparison_sentence,
    new_scan_sentence,
    rates,
    verdict_words,
)
from fedtune3d.report.ties import tie
from fedtune3d.report.what_left import what_left_short

MODALITY = "T1-weighted MRI"
SECTIONS = (
    ("auc", "Results"),
    ("operating", "Threshold"),
    ("calibration", "Calibration"),
    ("groups", "Subgroups"),
    ("looks", "Saliency"),
    ("participants", "Participants"),
    ("training", "Training"),
    ("privacy", "Privacy"),
    ("cost", "Cost"),
    ("methods", "Methods"),
)
"""Every section of the page and its title, in order; the contents list those that the page has."""


@dataclass(frozen=True)
class Against:
    """The federated model minus a baseline: title, difference with its interval, and what that means."""

    title: str
    difference: str
    verdict: str
    tied: bool = False


def against(title: str, difference: Estimate, found: str, unit: str = "") -> Against:
    """Describe a difference from something, with the verdict on it."""
    alike = tie(difference)
    text = f"tie: {alike}" if alike else ci(difference, "+", unit)
    return Against(title, text, found, tied=bool(alike))


def with_ties_merged(found: Sequence[Against]) -> list[Against]:
    """Say once of all that a model ties with, in the place of the first."""
    merged: dict[str, Against] = {}
    for one in found:
        key = one.difference if one.tied else one.title
        merged[key] = replace(one, title=f"{merged[key].title} and {one.title}") if key in merged else one
    return list(merged.values())


@dataclass(frozen=True)
class Result:
    """The findings of a finished run.

    Attributes:
        value: The main measure, such as the mean test AUC.
        interval: Its interval, or why there is no AUC.
        mean_of: The number of sites in the mean.
        measure: What is measured, such as ``AUC``, and whether lower is better.
        against: Federated minus each baseline.
        sentence: Whether the federated model is better than the baselines.
        warnings: What makes the predicted classes useless, a sentence each.
        facts: Name → text: on whom it was tested, at which threshold, calibration, what left, what to do with a scan.
        checks: The line of checks.
    """

    value: str
    interval: str
    mean_of: str
    measure: str
    against: Sequence[Against]
    sentence: str
    warnings: Sequence[str]
    facts: Sequence[tuple[str, str]]
    checks: Sequence[Check]


@dataclass(frozen=True)
class FirstScreen:
    """The first screen: the question, the setting in one line, and the result once the run has one."""

    question: str
    setting: str
    result: Result | None


def first_screen(contents: RunContents, names: ClassNames) -> FirstScreen:
    """Summarise a run for its first screen."""
    return FirstScreen(
        question=f"{asked(contents.outcome, names)} from {MODALITY}",
        setting=" · ".join(run_setting(contents)),
        result=None if contents.metrics is None else _result(contents, contents.metrics, names),
    )


def asked(outcome: Outcome, names: ClassNames) -> str:
    """Return what is asked of a scan: `AD vs CN`, or `Age`."""
    if isinstance(outcome, NumberOutcome):
        return outcome.column.capitalize() if outcome.column.islower() else outcome.column
    classes = names.versus if outcome.is_binary else " vs ".join(names.in_order)
    return f"C{classes[1:]}" if classes.startswith("class ") else classes  # it begins a title


def run_setting(contents: RunContents) -> list[str]:
    """List what a run was: name, encoder, head, tuning and rule, number of sites, date and version."""
    parts = [str(contents.config["name"])]
    encoder = contents.config.get("model", {}).get("encoder")
    if contents.facts is not None and encoder and (named := encoder_with_weights(encoder, contents.facts.weights)):
        parts.append(named)
    if contents.metrics is not None:
        parts.append(setup(contents.metrics))
    parts.append(plural(len(contents.sites), "site"))
    environment = contents.environment
    if environment is not None and environment.started is not None:
        started = datetime.fromisoformat(environment.started)
        parts.append(f"{started.day} {started:%b %Y}")
    version = __version__ if environment is None else environment.versions.get("fedtune3d", __version__)
    return [*parts, f"fedtune3d {version}"]


def _result(contents: RunContents, metrics: RunMetrics, names: ClassNames) -> Result:
    found = headline(metrics)
    value, interval = _parted(found.mean)
    return Result(
        value=f"{value} {found.unit}".rstrip(),
        interval=interval,
        mean_of=mean_over(len(found.mean.sites), len(contents.sites)),
        measure=found.short + _explained(metrics, found),
        against=with_ties_merged(
            [
                against(METHODS[name].lower(), part.mean.comparison.difference, verdict_words(part.mean), found.unit)
                for name in METHODS
                if (part := metrics.against.get(name)) is not None
            ]
        ),
        sentence=comparison_sentence(metrics),
        warnings=result_warnings(metrics, names, contents.ledger),
        facts=_facts(contents, metrics, names) if metrics.outcome.is_binary else outcome_facts(contents, metrics),
        checks=checks(contents),
    )


def mean_over(sites: int, of_all: int) -> str:
    """Say over how many sites a mean is: `mean over 3 sites`, or `mean over 3 of 4 sites`."""
    return f"mean over {sites if sites == of_all else f'{sites} of {of_all}'} {'site' if of_all == 1 else 'sites'}"


def _explained(metrics: RunMetrics, found: Headline) -> str:
    """Explain a measure that is not an AUC of two classes, in brackets."""
    if found.lower_is_better:
        return " (lower is better)"
    return "" if metrics.outcome.is_binary else " (mean of the classes)"


def _parted(estimate: Estimate) -> tuple[str, str]:
    if estimate.limits is None:
        return "–", f"not defined: {estimate.undefined}"
    value, low, high = (f"{number:.2f}" for number in estimate.limits)
    return value, f"95% CI {low}–{high}"


def _facts(contents: RunContents, metrics: RunMetrics, names: ClassNames) -> list[tuple[str, str]]:
    pooled = metrics.federated.pooled
    people = [("Trained on", trained_on(contents, names)), ("Tested on", sample_sentence(metrics, names))]
    facts = [*people, *included(contents)]
    if pooled is not None:
        at = f"at {threshold(pooled.threshold)}" if pooled.threshold is not None else ""
        facts.append((f"Threshold {at}".strip(), rates(pooled, names) or "none: no validation scans of both classes"))
        facts.append(("Calibration", calibration_words(pooled.calibration, names)))
    return [
        *facts,
        ("Left the sites", what_left_short(contents)),
        ("A new scan", new_scan_sentence(pooled, threshold(pooled.threshold if pooled else None), names)),
    ]


def sample_sentence(metrics: RunMetrics, names: ClassNames) -> str:
    """Say on how many people of each class the model was tested, and where these are few."""
    sites = {site: test for site, test in metrics.federated.sites.items() if test.scans}
    unknown = len(metrics.federated.sites) - len(sites)
    negatives, positives = (sum(test.participants_by_class[label] for test in sites.values()) for label in (0, 1))
    people = negatives + positives if metrics.test_groups is None else metrics.test_groups
    noun = "person" if people == 1 else "people"
    by_class = f"{of_class(positives, names.positive)}, {of_class(negatives, names.negative)}"
    text = f"{people} other {noun} ({by_class})"
    scans = sum(test.scans for test in sites.values())
    if scans != people:
        text += f" with {plural(scans, 'scan')}"
    text += f" at {plural(len(sites), 'site')}"
    if few := few_sites_text(metrics):
        text += f". {few}, so intervals are wide"
    if unknown:
        text += f". {sites_have(unknown)} no test scans, or too few to say"
    return text
