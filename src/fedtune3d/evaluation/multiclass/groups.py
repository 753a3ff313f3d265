"""Macro AUC by group of people (sex, age band, scanner), and the gap between each group and all others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtune3d.evaluation.estimate import Estimate, undefined
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.score_counts import (
    CountByClass,
    ScoreCounts,
    count_by_class,
    dense_scores,
    macro_auc_from_counts,
    score_counts,
)
from fedtune3d.evaluation.subgroups import (
    Axes,
    SubgroupAxis,
    SubgroupMetrics,
    by_group,
    gap_of,
    group_rows,
    leaving_groups,
    require_possible_axis,
)


@dataclass(frozen=True)
class ClassGroup:
    """A group at one site.

    Attributes:
        participants: Number of people.
        participants_by_class: People with a scan of each class.
        scores: Scans by probability of each class and true class.
    """

    participants: int
    participants_by_class: tuple[int, ...]
    scores: ScoreCounts


@dataclass(frozen=True)
class ClassAxis:
    """The groups along one axis at a site that are large enough to leave, and the number of suppressed groups."""

    groups: Mapping[str, ClassGroup]
    held_back: int


def summarise_class_groups(
    test: ClassPredictions, axes: Axes, min_per_class: int, count: CountByClass = count_by_class
) -> dict[str, ClassAxis]:
    """Count the groups of a site along each axis, suppressing those with too few people of a class.

    Args:
        test: The test scans.
        axes: The group of each scan, by axis.
        min_per_class: Minimum number of people of each class in a group; see `subgroups.leaving_groups`.
        count: How scans are counted on the grid.
    """
    return {axis: _summarise_axis(test, names, min_per_class, count) for axis, names in axes.items()}


def _summarise_axis(test: ClassPredictions, names: Sequence[str], min_per_class: int, count: CountByClass) -> ClassAxis:
    parts = {
        name: ClassPredictions(
            tuple(test.participants[row] for row in rows),
            tuple(test.sessions[row] for row in rows),
            test.truth[rows],
            test.probabilities[rows],
        )
        for name, rows in group_rows(names).items()
    }
    leaving = leaving_groups({name: part.participants_by_class for name, part in parts.items()}, min_per_class)
    groups = {
        name: ClassGroup(
            len(set(parts[name].participants)), parts[name].participants_by_class, score_counts(parts[name], count)
        )
        for name in leaving
    }
    return ClassAxis(groups, len(parts) - len(leaving))


@dataclass(frozen=True, eq=False)
class _Counted:
    """A group over sites: its people, those of each class (C,), and its counts (C, C, BINS)."""

    people: int
    by_class: NDArray[np.int64]
    scores: NDArray[np.int64]

    @classmethod
    def of(cls, parts: Sequence[ClassGroup]) -> "_Counted":
        return cls(
            sum(part.participants for part in parts),
            np.sum([part.participants_by_class for part in parts], axis=0),
            np.sum([dense_scores(part.scores) for part in parts], axis=0),
        )

    @property
    def macro_auc(self) -> Estimate:
        return macro_auc_from_counts(self.scores, self.by_class.tolist()).estimate


def combine_class_groups(sites: Sequence[Mapping[str, ClassAxis]]) -> dict[str, SubgroupAxis]:
    """Compute each group's macro AUC over the sites that sent its counts, and its gap to all other groups together.

    Args:
        sites: Axis → the groups of `summarise_class_groups`, for each site.
    """
    found = {}
    for axis, parts in by_group(sites).items():
        sent = by_group([part.groups for part in parts])
        groups = {}
        for name, own in sent.items():
            counted, others = _Counted.of(own), [part for other, all_ in sent.items() if other != name for part in all_]
            value = counted.macro_auc
            gap = gap_of(value, _Counted.of(others).macro_auc) if others else undefined("no other group")
            groups[name] = SubgroupMetrics(counted.people, int(counted.scores[0].sum()), value, gap)
        found[axis] = SubgroupAxis(groups, sum(part.held_back for part in parts))
    return found


def require_possible_class_groups(axes: Mapping[str, ClassAxis], scans_by_class: Sequence[int]) -> None:
    """Check the groups that a site sent. Raises `ValueError` if its test set has no such groups."""
    for axis, part in axes.items():
        require_possible_axis(axis, len(part.groups), part.held_back)
        total = np.zeros(len(scans_by_class), np.int64)
        for group in part.groups.values():
            counts = dense_scores(group.scores)
            scans = counts.sum(axis=2)
            if counts.shape[0] != len(scans_by_class) or (scans != scans[0]).any():
                raise ValueError(f"groups along {axis}: counts of different scans for the classes' probabilities")
            if len(group.participants_by_class) != len(scans_by_class) or any(
                not 0 <= people <= of for people, of in zip(group.participants_by_class, scans[0], strict=True)
            ):
                raise ValueError(f"groups along {axis}: more people than scans")
            if not max(group.participants_by_class) <= group.participants <= sum(group.participants_by_class):
                raise ValueError(f"groups along {axis}: people that do not add up")
            total += scans[0]
        if (total > np.array(scans_by_class)).any():
            raise ValueError(f"groups along {axis}: more scans than the test set has")
