"""Mean absolute error by group of people (sex, age band, scanner), and the gap between each group and all others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedtune3d.evaluation.cluster_sums import ClusterSums
from fedtune3d.evaluation.estimate import Estimate, undefined
from fedtune3d.evaluation.measure import few_people
from fedtune3d.evaluation.regression.coarse import coarse_sums
from fedtune3d.evaluation.regression.measures import CLUSTERED, SCALES
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
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
class NumberAxis:
    """The groups along one axis at a site: the sums of their absolute errors, and the number of suppressed groups."""

    groups: Mapping[str, ClusterSums]
    held_back: int


def summarise_number_groups(
    test: NumberPredictions, axes: Axes, min_people: int, step: float = 0.0
) -> dict[str, NumberAxis]:
    """Sum the absolute errors of the groups of a site along each axis, suppressing those with too few people.

    Args:
        test: The test scans.
        axes: The group of each scan, by axis.
        min_people: Minimum number of people in a group whose sums leave; see `subgroups.leaving_groups`.
        step: To what sums are rounded (`coarse`); 0 for exact ones.
    """
    return {axis: _summarise_axis(test, names, min_people, step) for axis, names in axes.items()}


def _summarise_axis(test: NumberPredictions, names: Sequence[str], min_people: int, step: float) -> NumberAxis:
    errors, people = np.abs(test.errors), np.array(test.participants, dtype=str)
    sums = {
        name: ClusterSums.of(errors[rows], np.unique(people[rows], return_inverse=True)[1].reshape(-1))
        for name, rows in group_rows(names).items()
    }
    leaving = leaving_groups({name: (part.people,) for name, part in sums.items()}, min_people)
    return NumberAxis({name: coarse_sums(sums[name], step) for name in leaving}, len(sums) - len(leaving))


def combine_number_groups(sites: Sequence[Mapping[str, NumberAxis]]) -> dict[str, SubgroupAxis]:
    """Compute each group's mean absolute error over the sites that sent its sums, and its gap to all other groups.

    Args:
        sites: Axis → the groups of `summarise_number_groups`, for each site.
    """
    found = {}
    for axis, parts in by_group(sites).items():
        sums = {name: ClusterSums.pooled(own) for name, own in by_group([part.groups for part in parts]).items()}
        groups = {
            name: _metrics(part, [other for others, other in sums.items() if others != name])
            for name, part in sums.items()
        }
        found[axis] = SubgroupAxis(groups, sum(part.held_back for part in parts))
    return found


def _metrics(sums: ClusterSums, others: Sequence[ClusterSums]) -> SubgroupMetrics:
    value = _error(sums)
    gap = gap_of(value, _error(ClusterSums.pooled(others))) if others else undefined("no other group")
    return SubgroupMetrics(sums.people, sums.scans, value, gap)


def _error(sums: ClusterSums) -> Estimate:
    if (measure := sums.measure) is None or measure.value <= 0:
        return undefined("fewer than two people, or no errors")
    return measure.estimate(SCALES["mae"], CLUSTERED, few_people(sums.people))


def require_possible_number_groups(axes: Mapping[str, NumberAxis], people: int, scans: int) -> None:
    """Check the groups that a site sent. Raises `ValueError` if its test set has no such groups."""
    for axis, part in axes.items():
        require_possible_axis(axis, len(part.groups), part.held_back)
        for sums in part.groups.values():
            if not 1 <= sums.people <= min(people, sums.scans) or not sums.scans <= sums.squared_scans <= sums.scans**2:
                raise ValueError(f"groups along {axis}: people or scans that there are not")
            if min(sums.total, sums.scans_times_total, sums.squared_total) < 0:
                raise ValueError(f"groups along {axis}: sums of absolute errors below 0")
        if sum(sums.scans for sums in part.groups.values()) > scans:
            raise ValueError(f"groups along {axis}: more scans than the test set has")
