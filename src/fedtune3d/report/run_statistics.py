"""Tables of calibration, of the operating point at a given specificity, and of gaps between groups."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.groups import AxisMetrics, GroupMetrics
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.sample import FROM_COUNTS
from fedtune3d.report.number_formatting import difference, plural
from fedtune3d.report.table import AucRow, auc_rows, shown_methods

AXES = {"sex": "Sex", "age": "Age", "scanner": "Scanner", "site": "Site"}
"""The axes of the groups and their titles, in the order in which they are shown."""
SEEN_ERROR = 0.005
"""Smallest error of an AUC that is visible when it is printed with two digits."""


@dataclass(frozen=True)
class GroupRow:
    """A group on an axis (both as titles), with the metrics of its test scans."""

    axis: str
    name: str
    metrics: GroupMetrics

    @property
    def people(self) -> str:
        """Number of people with and without a positive scan: `25 + 30`."""
        negatives, positives = self.metrics.participants_by_class
        return f"{positives} + {negatives}"


def delong_rows(metrics: RunMetrics) -> list[AucRow]:
    """Return the rows of the AUC table, without the mean, with DeLong's (or Obuchowski's) CI."""
    methods = [metrics.methods[name] for name in shown_methods(metrics)]
    rows = []
    for row in auc_rows(metrics):
        if row.kind != "mean":
            tests = [method.parts.get(row.name) for method in methods]
            rows.append(row._replace(estimates=[None if test is None else test.auc_delong for test in tests]))
    return rows


def group_rows(metrics: RunMetrics) -> list[GroupRow]:
    """Return the groups of the federated model's test scans; axes with fewer than two known groups are left out."""
    return [
        GroupRow(AXES.get(axis, axis), name, group)
        for axis, measured in _axes(metrics).items()
        for name, group in measured.groups.items()
    ]


def gap_sentence(metrics: RunMetrics) -> str:
    """Name the differences between a group and the rest whose interval excludes 0, or say that there is none."""
    rows = group_rows(metrics)
    if not rows:
        return "There are no two groups to compare."
    gaps = [
        (f"{row.name if row.axis == AXES['site'] else f'{row.axis.lower()} {row.name}'}: {title}", gap)
        for row in rows
        for title, gap in (
            ("AUC", row.metrics.gaps.auc),
            ("sensitivity", row.metrics.gaps.sensitivity),
            ("specificity", row.metrics.gaps.specificity),
        )
        if gap.limits is not None
    ]
    apart = [(name, gap) for name, gap in gaps if gap.limits is not None and not gap.limits[1] <= 0 <= gap.limits[2]]
    if not gaps:
        return "No difference between a group and the rest can be estimated."
    measured = f"of the {plural(len(gaps), 'difference')} between a group and the rest"
    if not apart:
        return f"None {measured} has a 95% CI that excludes 0 (not adjusted for their number)."
    listed = "; ".join(f"{name} {difference(gap)}" for name, gap in apart)
    return f"The 95% CI excludes 0 in {len(apart)} {measured} (not adjusted for their number): {listed}."


def groups_title(metrics: RunMetrics) -> str:
    """Count the groups of the table: `4 sites`, or `6 groups (2 by sex, 4 by site)`."""
    by_axis = Counter(row.axis for row in group_rows(metrics))
    if set(by_axis) == {AXES["site"]}:
        return plural(by_axis.total(), "site")
    return f"{plural(by_axis.total(), 'group')} ({', '.join(f'{n} by {axis.lower()}' for axis, n in by_axis.items())})"


def held_back_sentence(metrics: RunMetrics, least: Collection[int]) -> str:
    """Say how many groups the sites held back along each axis, and why; empty if none.

    Args:
        metrics: The metrics of a run.
        least: The minimum number of people of each class in a group of each site (`min_per_class`).
    """
    axes = (metrics.of_two_classes.groups if metrics.of_two_classes else None) or {}
    held = [f"{part.held_back} by {AXES.get(axis, axis).lower()}" for axis, part in axes.items() if part.held_back]
    if not held:
        return ""
    fewest = f"{min(least)}" if len(set(least)) == 1 else f"{min(least)} to {max(least)}"
    return (
        f"Groups too small to be shown: {', '.join(held)} (at each site a group needs {fewest} people of each class, "
        "policy.min_per_class)."
    )


def grid_note(metrics: RunMetrics) -> str:
    """Warn if so many scans share a bin of the grid that an AUC is visibly off; empty if the grid is fine enough."""
    pooled = metrics.of_two_classes.pooled if metrics.of_two_classes else None
    if pooled is None or pooled.grid_error is None or pooled.grid_error < SEEN_ERROR:
        return ""
    grouped = any(axis != "site" for axis in _axes(metrics))
    if not grouped and FROM_COUNTS not in pooled.auc.method:
        return ""
    return (
        "Many probabilities are nearly equal. An AUC that is counted on the grid of probabilities (by sex, age and "
        "scanner, and wherever predictions stay at their site) treats them as ties and may be off by up to "
        f"{pooled.grid_error:.2f}."
    )


def statistic_methods(metrics: RunMetrics) -> set[str]:
    """Return the methods behind the CIs in these tables."""
    estimates: list[Estimate] = []
    for name in shown_methods(metrics):
        for test in metrics.methods[name].parts.values():
            calibration, point = test.calibration, test.at_specificity
            estimates += [test.auc_delong, calibration.slope, calibration.intercept, calibration.brier]
            estimates += [point.sensitivity, point.specificity, test.accuracy]
            estimates += [value for at in test.predictive_values for value in (at.positive, at.negative)]
        for part in metrics.methods[name].recalibrated.values():
            estimates += [part.calibration.slope, part.calibration.intercept, part.calibration.brier]
    for row in group_rows(metrics):
        gaps = row.metrics.gaps
        estimates += [row.metrics.auc, gaps.auc, gaps.sensitivity, gaps.specificity]
    return {estimate.method for estimate in estimates}


def _axes(metrics: RunMetrics) -> Mapping[str, AxisMetrics]:
    axes = (metrics.of_two_classes.groups if metrics.of_two_classes else None) or {}
    return {axis: axes[axis] for axis in (*AXES, *axes) if axis in axes and len(axes[axis].groups) > 1}
