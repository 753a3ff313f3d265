"""Rounding of sums over people of a site that keeps its predictions, so that few of them cannot be solved for.

The sums of true numbers and of their squares are the same under every model. Everything else depends on the model, and
a server can send one that predicts the same number for everybody: its errors are true numbers then, minus a number of
the server's choice. So of errors only their sums and those of their squares leave exactly, which follow from the two
sums of true numbers; absolute errors, fourth powers and errors by range are rounded. The steps are small against the
standard errors of what is computed.
"""

import math

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
