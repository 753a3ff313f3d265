"""Warnings of `plan` and `check` about sites with few people: few steps, sets of one class, tiny validation sets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fedtune3d.cohorts.splits import SPLITS, TEST, TRAIN, VALIDATION
from fedtune3d.config.class_names import names_of
from fedtune3d.config.experiment import Experiment
from fedtune3d.models.assembly import NCC

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
        return [*_one_class(names_of(experiment).in_order, sites)]
    return [
        *_few_steps(experiment, sites),
        *_one_class(names_of(experiment).in_order, sites),
        *_tiny_validation(experiment, sites),
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


def _one_class(classes: Sequence[str], sites: Mapping[str, SiteSplits]) -> Iterator[str]:
    consequences = {
        TRAIN: "its updates pull the model towards one class" if len(classes) == 2 else "its updates pull away from it",
        VALIDATION: "it has no AUC by which rounds are compared",
        TEST: "it has no test AUC",
    }
    for split in SPLITS:
        lacking = [
            f"{site} (no {name})"
            for site, splits in sites.items()
            for name, people in zip(classes, splits[split].people, strict=True)
            if not people
        ]
        if lacking:
            yield (
                f"{split} set without a class: {', '.join(lacking)}: {consequences[split]}; change splits.{split}, "
                "or exclude the site"
            )


def _tiny_validation(experiment: Experiment, sites: Mapping[str, SiteSplits]) -> Iterator[str]:
    classes = names_of(experiment).in_order
    tiny = [
        f"{site} ({', '.join(f'{count} {name}' for name, count in reversed(counted))})"
        for site, splits in sites.items()
        for counted in [list(zip(classes, splits[VALIDATION].people, strict=True))]
        if 0 < min(splits[VALIDATION].people) < MIN_VALIDATION
    ]
    if not tiny:
        return
    text = f"fewer than {MIN_VALIDATION} people of a class in validation: {', '.join(tiny)}; "
    if experiment.training.best_round == "highest_auc":
        yield (
            f"{text}training.best_round: highest_auc may then select a round by chance: leave it out, or raise "
            "splits.validation"
        )
    else:
        yield text + "thresholds and scores there are uncertain: raise splits.validation if training can spare people"


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
