"""Groups of people by sex, age band or scanner, whatever is predicted: which of them leave a site, and their gaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from fedtune3d.evaluation.estimate import Estimate, defined, undefined
from fedtune3d.evaluation.intervals import difference_interval

UNKNOWN = "unknown"
AXES = ("sex", "age", "scanner")
MAX_GROUPS = 100

Axes = Mapping[str, Sequence[str]]
"""Axis, such as ``sex`` → the group of each scan of a split."""
Group = TypeVar("Group")


@dataclass(frozen=True)
class SubgroupMetrics:
    """A group over all sites.

    Attributes:
        people: Number of people.
        scans: Number of scans.
        value: The measure of the group: macro AUC of several classes, mean absolute error of a number.
        gap: The same minus that of all other groups together.
    """

    people: int
    scans: int
    value: Estimate
    gap: Estimate


@dataclass(frozen=True)
class SubgroupAxis:
    """The groups along one axis over all sites, and the number of groups that the sites suppressed."""

    groups: Mapping[str, SubgroupMetrics]
    held_back: int


def leaving_groups(people: Mapping[str, Sequence[int]], minimum: int) -> list[str]:
    """Return the names of the groups whose numbers may leave a site, sorted.

    Args:
        people: Group → its people of each class.
        minimum: Minimum number of people of each class. If all suppressed groups together have fewer, the smallest
            other group is suppressed, too, as the rest of the total would be about these few.
    """
    leaving = sorted((name for name in people if min(people[name]) >= minimum), key=lambda name: sum(people[name]))
    held_back = [name for name in people if name not in leaving]
    while held_back and leaving and min(np.sum([people[name] for name in held_back], axis=0)) < minimum:
        held_back.append(leaving.pop(0))
    return sorted(leaving)


def group_rows(names: Sequence[str]) -> dict[str, list[int]]:
    """Return group → rows of its scans, sorted by name; empty if all are unknown."""
    if set(names) <= {UNKNOWN}:
        return {}
    return {name: [row for row, own in enumerate(names) if own == name] for name in sorted(set(names))}


def gap_of(group: Estimate, rest: Estimate) -> Estimate:
    """Estimate the difference of two independent estimates from their limits (MOVER)."""
    if group.limits is None or rest.limits is None:
        return undefined(group.undefined or rest.undefined or "")
    few = bool(group.mark or rest.mark)
    interval = difference_interval(group.limits, rest.limits)
    return defined(group.limits[0] - rest.limits[0], interval, "difference, limits by MOVER", few)


def by_group(parts: Sequence[Mapping[str, Group]]) -> dict[str, list[Group]]:
    """Return group → what each site that has it sent, sorted by name."""
    names = sorted({name for part in parts for name in part})
    return {name: [part[name] for part in parts if name in part] for name in names}


def require_possible_axis(axis: str, groups: int, held_back: int) -> None:
    """Check the groups along an axis that a site sent. Raises `ValueError` if there are no such."""
    if axis not in AXES or not 0 <= held_back <= MAX_GROUPS or groups > MAX_GROUPS:
        raise ValueError(f"groups: expected up to {MAX_GROUPS} along {', '.join(AXES)}, got {axis[:60]!r}")
