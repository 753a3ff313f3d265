"""Fixed-point arithmetic modulo 2^64 in units of 2^-32, in which sums are exact and independent of their order."""

import torch

UNIT_BITS = 32
UNIT = 2.0**-UNIT_BITS


def largest_value(sites: int) -> float:
    """Return the largest magnitude of a value for which the sum over `sites` sites fits into a word."""
    return float(2.0 ** (63 - UNIT_BITS) / sites)


def to_words(values: torch.Tensor, sites: int) -> torch.Tensor:
    """Convert float64 values to words, rounding to the nearest unit.

    Args:
        values: (n,) float64.
        sites: Number of vectors to be added.

    Returns:
        (n,) int64.

    Raises:
        ValueError: If a value is not finite or too large.
    """
    if not bool((values.abs() < largest_value(sites)).all()):
        raise ValueError(f"expected finite values below {largest_value(sites):.3g}")
    return (values * 2.0**UNIT_BITS).round_().to(torch.int64)


def to_values(words: torch.Tensor) -> torch.Tensor:
    """Convert a sum of words to float64 values."""
    return words.double() * UNIT
