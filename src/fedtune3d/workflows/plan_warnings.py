"""Warnings of `fedtune3d plan` about sites with few people: too few steps, sets of one class, tiny validation sets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fedtune3d.cohorts.splits import SPLITS, TEST, TRAIN, VALIDATION
from fedtune3d.config.experiment import Experiment
from fedtune3d.models.assembly import NCC

MIN_STEPS = 4
"""Optimiser steps per round below which a site's training falls behind (`benchmarks/under_training.py`)."""
MIN_VALIDATION = 5
"""People of a class in a validation set below which single scans decide a site's AUC."""
CLASSES = ("negative", "positive")


@dataclass(frozen=True)
class SplitSize:
    """A split of a site: scans, and people (groups) with a negative and with a positive scan."""

    scans: int
    people: tuple[int, int]


SiteSplits = Mapping[str, SplitSize]
"""``train``, ``validation`` and ``test`` → their sizes."""


def plan_warnings(experiment: Experiment, sites: Mapping[str, SiteSplits]) -> list[str]:
    """Return one line per problem, each with the sites that have it and the key to change."""
    if experiment.model.head == NCC:  # it is computed, not trained
        return [*_one_class(sites)]
    return [*_few_steps(experiment, sites), *_one_class(sites), *_tiny_validation(experiment, sites)]


def _few_steps(experiment: Experiment, sites: Mapping[str, SiteSplits]) -> Iterator[str]:
    training = experiment.training
    steps = {site: training.local_steps(splits[TRAIN].scans) for site, splits in sites.items()}
    few = {site: count for site, count in steps.items() if count < MIN_STEPS}
    if few:
        listed = ", ".join(f"{site} {count} ({sites[site][TRAIN].scans} scans)" for site, count in few.items())
        yield (
            f"few optimiser steps per round, in batches of {training.batch_size}: {listed}; the model may still be "
            f"under-trained after {training.rounds} rounds: write training.min_steps: {MIN_STEPS}, or change "
            "training.rounds"
        )


def _one_class(sites: Mapping[str, SiteSplits]) -> Iterator[str]:
    consequences = {
        TRAIN: "its updates pull the model to one class",
        VALIDATION: "it has no AUC by which rounds are compared",
        TEST: "it has no test AUC",
    }
    for split in SPLITS:
        lacking = [
            f"{site} (nobody {name})"
            for site, splits in sites.items()
            for name, people in zip(CLASSES, splits[split].people, strict=True)
            if not people
        ]
        if lacking:
            yield (
                f"{split} set without a class: {', '.join(lacking)}: {consequences[split]}; change splits.{split}, "
                "or leave the site out"
            )


def _tiny_validation(experiment: Experiment, sites: Mapping[str, SiteSplits]) -> Iterator[str]:
    tiny = [
        f"{site} ({positives} positive, {negatives} negative)"
        for site, splits in sites.items()
        for negatives, positives in [splits[VALIDATION].people]
        if 0 < min(negatives, positives) < MIN_VALIDATION
    ]
    if not tiny:
        return
    text = f"under {MIN_VALIDATION} people of a class in validation: {', '.join(tiny)}; "
    if experiment.training.best_round == "highest_auc":
        yield (
            text
            + "training.best_round: highest_auc then chooses a lucky round: leave it out, or raise splits.validation"
        )
    else:
        yield text + "thresholds and scores there are uncertain: raise splits.validation if training can spare people"


def split_sizes_of(splits: Mapping[str, str], scans: Sequence[tuple[str, int]]) -> SiteSplits:
    """Count scans and people of each split, given group → split and the (group, label) of each scan."""
    return {
        split: SplitSize(
            sum(splits[group] == split for group, _ in scans),
            (
                len({group for group, label in scans if label == 0 and splits[group] == split}),
                len({group for group, label in scans if label == 1 and splits[group] == split}),
            ),
        )
        for split in SPLITS
    }
