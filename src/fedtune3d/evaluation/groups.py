"""Metrics by group of people (sex, age band, scanner, site), and the gap between each group and all others.

A site sends the counts of a group only if it has enough people of each class, and never in a way that would reveal a
small group by subtracting the others from the total.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from fedtune3d.evaluation.auc_estimate import score_estimate_from_counts
from fedtune3d.evaluation.class_counts import ClassCounts, CountScans
from fedtune3d.evaluation.classification import operating_point
from fedtune3d.evaluation.estimate import Estimate, undefined
from fedtune3d.evaluation.predictions import Predictions, participants_by_class
from fedtune3d.evaluation.sample import FROM_COUNTS
from fedtune3d.evaluation.subgroups import UNKNOWN, Axes, gap_of, group_rows, leaving_groups

AGE_BANDS = ((60, "under 60"), (70, "60–69"), (80, "70–79"))
OLDEST = "80 and over"


@dataclass(frozen=True)
class GroupCounts:
    """A group at one site: its people (negative, positive) and its test scans on the grid."""

    participants_by_class: tuple[int, int]
    counts: ClassCounts

    @classmethod
    def of(cls, predictions: Predictions, count: CountScans = ClassCounts.of) -> Self:
        """Count a group's test scans."""
        return cls(participants_by_class(predictions), count(predictions))


@dataclass(frozen=True)
class AxisCounts:
    """The groups along one axis at a site that are large enough to leave, and the number of suppressed groups."""

    groups: Mapping[str, GroupCounts]
    held_back: int


@dataclass(frozen=True)
class GroupMeasures:
    """AUC, sensitivity and specificity of a group, or their differences from the rest."""

    auc: Estimate
    sensitivity: Estimate
    specificity: Estimate


@dataclass(frozen=True)
class GroupMetrics(GroupMeasures):
    """A group over all sites, and its gap to all other groups together."""

    participants_by_class: tuple[int, int]
    scans: int
    gaps: GroupMeasures


@dataclass(frozen=True)
class AxisMetrics:
    """The groups along one axis over all sites, and the number of groups that the sites suppressed."""

    groups: Mapping[str, GroupMetrics]
    held_back: int


def age_band(age: float | None) -> str:
    """Return the age band of an age in years: ``under 60``, ``60–69``, ``70–79``, ``80 and over`` or ``unknown``."""
    if age is None:
        return UNKNOWN
    return next((name for limit, name in AGE_BANDS if age < limit), OLDEST)


def summarise_groups(
    test: Predictions, axes: Axes, min_per_class: int, count: CountScans = ClassCounts.of
) -> dict[str, AxisCounts]:
    """Count the groups of a site along each axis, suppressing those with too few people.

    Args:
        test: The test scans.
        axes: The group of each scan, by axis.
        min_per_class: Minimum number of people of each class in a group whose counts leave. If all suppressed groups
            together have fewer, the smallest other group is suppressed, too.
        count: How scans are counted on the grid.
    """
    return {axis: _summarise_axis(test, names, min_per_class, count) for axis, names in axes.items()}


def _summarise_axis(test: Predictions, names: Sequence[str], min_per_class: int, count: CountScans) -> AxisCounts:
    groups = {name: GroupCounts.of(_rows(test, rows), count) for name, rows in group_rows(names).items()}
    leaving = leaving_groups({name: group.participants_by_class for name, group in groups.items()}, min_per_class)
    return AxisCounts({name: groups[name] for name in leaving}, len(groups) - len(leaving))


def _rows(test: Predictions, rows: Sequence[int]) -> Predictions:
    return Predictions(
        tuple(test.participants[row] for row in rows),
        tuple(test.sessions[row] for row in rows),
        test.labels[rows],
        test.probabilities[rows],
    )


def combine_groups(sites: Sequence[AxisCounts], threshold: float | None) -> dict[str, GroupMetrics]:
    """Compute the metrics of each group over the sites that sent its counts, and its gap to all other groups.

    Intervals of an AUC are score intervals; those of a gap follow from the intervals of its two terms (MOVER).

    Args:
        sites: One axis of `summarise_groups`, for each site.
        threshold: Threshold for sensitivity and specificity.
    """
    counts: dict[str, np.ndarray] = {}
    people: dict[str, np.ndarray] = {}
    for axis in sites:
        for name, group in axis.groups.items():
            counts[name] = counts.get(name, 0) + group.counts.dense()
            people[name] = people.get(name, 0) + np.array(group.participants_by_class)
    return gaps(counts, people, threshold)


def gaps(
    counts: Mapping[str, np.ndarray],
    people: Mapping[str, np.ndarray],
    threshold: float | None,
    finest: Mapping[str, np.ndarray] | None = None,
    source: str = FROM_COUNTS,
) -> dict[str, GroupMetrics]:
    """Compute metrics and gaps from the (2, BINS) counts and (2,) people of each group; see `combine_groups`.

    The AUC is computed from `finest`, (2, bins) counts on another scale, if given; `source` names these.
    """
    ranks = counts if finest is None else finest
    metrics = {}
    for name in sorted(counts):
        others = [other for other in counts if other != name]
        group = _measures(counts[name], ranks[name], people[name], threshold, source)
        if others:
            scans, ranked, persons = (
                np.sum([values[other] for other in others], axis=0) for values in (counts, ranks, people)
            )
            differences = _differences(group, _measures(scans, ranked, persons, threshold, source))
        else:
            nothing = undefined("no other group")
            differences = GroupMeasures(nothing, nothing, nothing)
        metrics[name] = GroupMetrics(
            auc=group.auc,
            sensitivity=group.sensitivity,
            specificity=group.specificity,
            participants_by_class=(int(people[name][0]), int(people[name][1])),
            scans=int(counts[name].sum()),
            gaps=differences,
        )
    return metrics


def _measures(
    counts: np.ndarray, ranks: np.ndarray, people: np.ndarray, threshold: float | None, source: str
) -> GroupMeasures:
    both = (int(people[0]), int(people[1]))
    point = operating_point(counts[0], counts[1], both, threshold)
    auc = score_estimate_from_counts(ranks[0], ranks[1], both, source)
    return GroupMeasures(auc, point.sensitivity, point.specificity)


def _differences(group: GroupMeasures, rest: GroupMeasures) -> GroupMeasures:
    return GroupMeasures(
        gap_of(group.auc, rest.auc),
        gap_of(group.sensitivity, rest.sensitivity),
        gap_of(group.specificity, rest.specificity),
    )
