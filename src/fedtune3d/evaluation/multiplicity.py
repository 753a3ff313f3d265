"""Many tests in one table."""

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted so that the chance of any false rejection in the table stays under the level.

    The k-th smallest of m is multiplied by m − k + 1, made non-decreasing, and cut at 1. None, a test that could not be
    made, stays None and does not count.

    Raises:
        ValueError: If a p-value is not in [0, 1].

    References:
        Holm, 1979, Scand. J. Stat. 6:65–70.
    """
    made = sorted((value, index) for index, value in enumerate(p_values) if value is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (value, index) in enumerate(made):
        if not 0 <= value <= 1:
            raise ValueError(f"p-value {index} must be in [0, 1], got {value}")
        largest = max(largest, min(1.0, value * (len(made) - rank)))
        adjusted[index] = largest
    return adjusted
