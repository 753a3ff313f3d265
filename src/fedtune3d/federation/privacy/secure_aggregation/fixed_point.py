"""Numbers as words modulo 2^64 in units of 2^-32, so that a sum is exact and does not depend on its order."""

import torch

UNIT_BITS = 32
UNIT = 2.0**-UNIT_BITS


def largest_value(sites: int) -> float:
    """The largest magnitude of a value, so that the sum of those of `sites` fits into a word."""
    return float(2.0 ** (63 - UNIT_BITS) / sites)


def to_words(values: torch.Tensor, sites: int) -> torch.Tensor:
    """Round float64 values to the nearest unit.

    Args:
        values: (n,) float64.
        sites: How many such vectors are added.

    Returns:
        (n,) int64.

    Raises:
        ValueError: Where a value is not finite or too large.
    """
    if not bool((values.abs() < largest_value(sites)).all()):
        raise ValueError(f"expected finite values below {largest_value(sites):.3g}")
    return (values * 2.0**UNIT_BITS).round_().to(torch.int64)


def to_values(words: torch.Tensor) -> torch.Tensor:
    """The float64 values of a sum of words."""
    return words.double() * UNIT
