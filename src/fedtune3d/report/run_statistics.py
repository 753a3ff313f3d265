"""Tables of calibration, of the operating point at a given specificity, and of gaps between groups."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.groups import AxisMetrics, GroupMetrics
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.sample import FROM_COUNTS
from fedtune3d.report.number_formatting import difference
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
    """Name the gaps between groups whose interval excludes 0, or say that there is none."""
    rows = group_rows(metrics)
    if not rows:
        return "There are no two groups to compare."
    gaps = [
        (f"{row.axis.lower()} {row.name}, {title}", gap)
        for row in rows
        for title, gap in (
            ("AUC", row.metrics.gaps.auc),
            ("sensitivity", row.metrics.gaps.sensitivity),
            ("specificity", row.metrics.gaps.specificity),
        )
        if gap.limits is not None
    ]
    apart = [(name, gap) for name, gap in gaps if gap.limits is not None and not gap.limits[1] <= 0 <= gap.limits[2]]
    measured = f"of {len(gaps)} gaps between {len(rows)} groups and all others, not adjusted for their number"
    if not apart:
        return f"No gap has an interval that excludes 0, {measured}."
    listed = "; ".join(f"{name} {difference(gap)}" for name, gap in apart)
    return f"Gaps whose 95% CI excludes 0 ({len(apart)} {measured}): {listed}."


def held_back(metrics: RunMetrics) -> list[str]:
    """Return `2 by sex`, … for each axis on which sites held groups back."""
    axes = (metrics.of_two_classes.groups if metrics.of_two_classes else None) or {}
    return [f"{part.held_back} by {AXES.get(axis, axis).lower()}" for axis, part in axes.items() if part.held_back]


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
