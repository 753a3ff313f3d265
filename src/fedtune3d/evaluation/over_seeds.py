"""Mean and spread of a number over several seeds, never the best."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OverSeeds:
    """A number over seeds. `sd` is None with fewer than two seeds; all are None if no seed has the number."""

    mean: float | None
    sd: float | None
    least: float | None
    greatest: float | None
    seeds: tuple[int, ...]
    missing: tuple[int, ...]


def over_seeds(values: Mapping[int, float | None]) -> OverSeeds:
    """Compute mean, standard deviation (n − 1) and range over seeds.

    The spread reflects the randomness of both training and splits. It is not a confidence interval: the test sets of
    different seeds overlap, so seeds are not independent samples of people.

    Args:
        values: Seed → the number, such as the value of an estimate; None if a seed has none.
    """
    known = {seed: float(value) for seed, value in sorted(values.items()) if value is not None}
    numbers = list(known.values())
    return OverSeeds(
        mean=math.fsum(numbers) / len(numbers) if numbers else None,
        sd=float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None,
        least=min(numbers, default=None),
        greatest=max(numbers, default=None),
        seeds=tuple(known),
        missing=tuple(sorted(values.keys() - known.keys())),
    )
