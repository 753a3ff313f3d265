"""Warnings of `plan` and `check` about sites with few people: few steps, sets of one class, tiny validation sets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fedtune3d.cohorts.splits import SPLITS, TEST, TRAIN, VALIDATION
from fedtune3d.config.class_names import names_of, of_class
from fedtune3d.config.experiment import Experiment
from fedtune3d.evaluation.outcome import NumberOutcome, in_shown_order
from fedtune3d.models.assembly import NCC, RESNET18
from fedtune3d.models.feature_statistics import MIN_SCANS
from fedtune3d.report.number_formatting import plural
from fedtune3d.workflows.missing_statistics import people_needed

MIN_STEPS = 4
"""Optimiser steps per round below which a site's training falls behind (`benchmarks/under_training.py`)."""
MIN_VALIDATION = 5
"""People of a class in a validation set below which single scans decide a site's AUC."""


@dataclass(frozen=True)
class SplitSize:
    """A split of a site: scans, and people (groups) with a scan of each class, in the order of labels."""

    scans: int
    people: tuple[int, ...]


SiteSplits = Mapping[str, SplitSize]
"""``train``, ``validation`` and ``test`` → their sizes."""


def plan_warnings(experiment: Experiment, sites: Mapping[str, SiteSplits]) -> list[str]:
    """Return one line per problem, each with the sites that have it and the key to change."""
    if experiment.model.head == NCC:  # it is computed, not trained
        return [*_one_class(experiment, sites)]
    return [
        *_few_steps(experiment, sites),
        *_one_class(experiment, sites),
        *_tiny_validation(experiment, sites),
        *_not_described(experiment, sites),
    ]


def _few_steps(experiment: Experiment, sites: Mapping[str, SiteSplits]) -> Iterator[str]:
    training = experiment.training
    steps = {site: training.local_steps(splits[TRAIN].scans) for site, splits in sites.items()}
    few = {site: count for site, count in steps.items() if count < MIN_STEPS}
    if few:
        listed = ", ".join(f"{site} {count} ({sites[site][TRAIN].scans} scans)" for site, count in few.items())
        yield (
            f"few optimiser steps per round, in batches of {training.batch_size}: {listed}; the model may still be "
            f"under-trained after {training.rounds} rounds: set training.min_steps: {MIN_STEPS}, or change "
            "training.rounds"
        )


def _one_class(experiment: Experiment, sites: Mapping[str, SiteSplits]) -> Iterator[str]:
    outcome = experiment.outcome
    consequences = {
        TRAIN: "its updates pull the model towards one class" if outcome.is_binary else "its updates pull away from it",
        VALIDATION: "it has no AUC by which rounds are compared",
        TEST: "it has no test AUC",
    }
    number = isinstance(outcome, NumberOutcome)
    if number:
        consequences = {
            TRAIN: "it does not train",
            VALIDATION: "it has no error by which rounds are compared",
            TEST: "it has no test error",
        }
    names = names_of(experiment).in_order
    nowhere = [
        (site, name)
        for site, splits in sites.items()
        for name, *people in zip(names, *(splits[split].people for split in SPLITS), strict=True)
        if not number and not any(people)
    ]
    if nowhere:
        listed = ", ".join(f"{site} (no {name})" for site, name in nowhere)
        yield (
            f"site without a class: {listed}: {consequences[TRAIN]}, and it has no AUC; correct the site's labels, or "
            "exclude the site"
        )
    for split in SPLITS:
        lacking = [
            site if number else f"{site} (no {name})"
            for site, splits in sites.items()
            for name, people in zip(names, splits[split].people, strict=True)
            if not people and (site, name) not in nowhere
        ]
        if lacking:
            of_what = "anybody" if number else "a class"
            yield (
                f"{split} set without {of_what}: {', '.join(lacking)}: {consequences[split]}; change splits.{split}, "
                "or exclude the site"
            )


def _tiny_validation(experiment: Experiment, sites: Mapping[str, SiteSplits]) -> Iterator[str]:
    outcome = experiment.outcome
    tiny = [
        f"{site} ({_counted(experiment, splits[VALIDATION].people)})"
        for site, splits in sites.items()
        if 0 < min(splits[VALIDATION].people) < MIN_VALIDATION
    ]
    if not tiny:
        return
    of_class = "" if isinstance(outcome, NumberOutcome) else " of a class"
    text = f"fewer than {MIN_VALIDATION} people{of_class} in validation: {', '.join(tiny)}; "
    if experiment.training.best_round == "highest_auc":
        yield (
            f"{text}training.best_round: highest_auc may then select a round by chance: leave it out, or raise "
            "splits.validation"
        )
    else:
        uncertain = "thresholds and scores" if outcome.is_binary else "scores"
        yield f"{text}{uncertain} there are uncertain: raise splits.validation if training can spare people"


def _not_described(experiment: Experiment, sites: Mapping[str, SiteSplits]) -> Iterator[str]:
    """Warn of sites too small for the feature statistics with which `predict` recognises scans unlike the training."""
    if experiment.model.encoder == RESNET18:  # it has no features of its own
        return
    needed = {site.name: people_needed(site, experiment.outcome) for site in experiment.sites}
    small = [
        f"{site} ({_counted(experiment, splits[TRAIN].people)}; {plural(splits[TRAIN].scans, 'scan')}; needs "
        f"{needed[site]})"
        for site, splits in sites.items()
        if 0 < min(splits[TRAIN].people) < needed[site] or 0 < splits[TRAIN].scans < MIN_SCANS
    ]
    if small:
        of_class = "" if isinstance(experiment.outcome, NumberOutcome) else " of each class"
        yield (
            f"too few people{of_class} in training (policy.min_per_class), or fewer than {MIN_SCANS} scans: "
            f"{', '.join(small)}; predict cannot compare new scans with those of these sites"
        )


def _counted(experiment: Experiment, people: Sequence[int]) -> str:
    """List people by class; of a number, count all of them."""
    if isinstance(experiment.outcome, NumberOutcome):
        return str(sum(people))
    names = names_of(experiment).in_order
    return ", ".join(in_shown_order(of_class(count, name) for count, name in zip(people, names, strict=True)))


def split_sizes_of(splits: Mapping[str, str], scans: Sequence[tuple[str, int]], classes: int = 2) -> SiteSplits:
    """Count scans and people of each split, given group → split and the (group, label) of each scan."""
    return {
        split: SplitSize(
            sum(splits[group] == split for group, _ in scans),
            tuple(
                len({group for group, own in scans if own == label and splits[group] == split})
                for label in range(classes)
            ),
        )
        for split in SPLITS
    }
