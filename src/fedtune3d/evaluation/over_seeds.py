"""One number of several seeds: mean and spread, never the best."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OverSeeds:
    """`sd` is None with under two seeds; everything is None where no seed has the number."""

    mean: float | None
    sd: float | None
    least: float | None
    greatest: float | None
    seeds: tuple[int, ...]
    missing: tuple[int, ...]


def over_seeds(values: Mapping[int, float | None]) -> OverSeeds:
    """Mean, standard deviation (n − 1) and range over seeds.

    The spread holds both the training's chance and the split's. It is no confidence interval: the test sets of
    different seeds overlap, so seeds are not independent draws of people.

    Args:
        values: Seed → the number, such as the value of an estimate; None where a seed has none.
    """
    having = {seed: float(value) for seed, value in sorted(values.items()) if value is not None}
    numbers = list(having.values())
    return OverSeeds(
        mean=math.fsum(numbers) / len(numbers) if numbers else None,
        sd=float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None,
        least=min(numbers, default=None),
        greatest=max(numbers, default=None),
        seeds=tuple(having),
        missing=tuple(sorted(values.keys() - having.keys())),
    )
