"""Correction for multiple testing."""

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values to control the family-wise error rate.

    The k-th smallest of m is multiplied by m − k + 1, made non-decreasing, and clipped to 1. None, for a test that
    could not be made, stays None and does not count.

    Raises:
        ValueError: If a p-value is not in [0, 1].

    References:
        Holm, 1979, Scand. J. Stat. 6:65–70.
    """
    from statsmodels.stats.multitest import multipletests

    tested = [index for index, value in enumerate(p_values) if value is not None]
    values = [value for value in p_values if value is not None]
    for index, value in zip(tested, values, strict=True):
        if not 0 <= value <= 1:
            raise ValueError(f"p-value {index} must be in [0, 1], got {value}")
    adjusted: list[float | None] = [None] * len(p_values)
    if values:
        for index, value in zip(tested, multipletests(values, method="holm")[1], strict=True):
            adjusted[index] = float(value)
    return adjusted
