"""Rounding of sums over people of a site that keeps its predictions, so that few of them cannot be solved for.

The sums of true numbers and of their squares are the same under every model. Everything else depends on the model, and
a server can send one that predicts the same number for everybody: its errors are true numbers then, minus a number of
the server's choice. So of errors only their sums and those of their squares leave exactly, which follow from the two
sums of true numbers; absolute errors and errors by range are rounded, and fourth powers stay. The steps are small
against the standard errors of what is computed.
"""

import math
from dataclasses import replace

from fedtune3d.evaluation.cluster_sums import ClusterSums

STEPS = 6


def coarse_step(limits: tuple[float, float]) -> float:
    """Return the step to whose multiples sums over people are rounded: a sixth of the target's range."""
    return (limits[1] - limits[0]) / STEPS


def to_step(value: float, step: float) -> float:
    """Round to a multiple of `step`; exact if it is 0."""
    return round(value / step) * step if step else value


def to_half_octave(value: float, step: float) -> float:
    """Round to a power of √2, so that the exact number is within 19% of it; exact if `step` or the value is 0."""
    return 2.0 ** (round(2 * math.log2(value)) / 2) if step and value > 0 else value


def coarse_sums(sums: ClusterSums, step: float) -> ClusterSums:
    """Round the sums of a value to multiples of `step`, and their variance to half octaves; exact if it is 0."""
    if not step or not sums.scans:
        return sums
    total, crossed = to_step(sums.total, step), to_step(sums.scans_times_total, step)
    return replace(
        sums,
        total=total,
        scans_times_total=crossed,
        squared_total=_with_coarse_variance(sums, total / sums.scans, crossed, step),
    )


def coarse_totals(sums: ClusterSums, step: float) -> ClusterSums:
    """Round the sums of absolute errors to multiples of `step`; exact if it is 0.

    With one scan per person, the sum of squares is that of squared errors, which leaves anyway; the variance, even
    rounded, would then tell the sum.
    """
    if not step or sums.scans > sums.people:
        return coarse_sums(sums, step)
    return replace(sums, total=to_step(sums.total, step), scans_times_total=to_step(sums.scans_times_total, step))


def without_spread(sums: ClusterSums, step: float) -> ClusterSums:
    """Replace the sum of squares of squared errors by the one of a variance of 0; exact if `step` is 0.

    Fourth powers of errors under a few constant predictions, however rounded, single out the numbers of ten people. The
    interval of the root mean squared error then has the variance under normality.
    """
    if not step or not sums.scans:
        return sums
    return replace(sums, squared_total=2 * sums.mean * sums.scans_times_total - sums.mean**2 * sums.squared_scans)


def _with_coarse_variance(sums: ClusterSums, mean: float, crossed: float, step: float) -> float:
    """Return the sum of squares from which the rounded variance follows with this mean and Σ nᵢ sᵢ."""
    squares = sums.squared_total - 2 * sums.mean * sums.scans_times_total + sums.mean**2 * sums.squared_scans
    spread = to_half_octave(max(0.0, squares), step)
    return max(0.0, spread + 2 * mean * crossed - mean**2 * sums.squared_scans)
