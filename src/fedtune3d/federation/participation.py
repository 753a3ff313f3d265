"""Who trains in a round, when not everybody does."""

import math

from fedtune3d._utils.seeds import numpy_rng


def choose_participants(sites: tuple[str, ...], fraction: float, seed: int, round_: int) -> tuple[str, ...]:
    """Draw ⌈fraction · sites⌉ sites for a round, from (seed, round) alone; sorted."""
    names = sorted(sites)
    count = math.ceil(fraction * len(names) - 1e-9)
    drawn = numpy_rng(seed, "participants", round_).choice(len(names), size=count, replace=False)
    return tuple(names[index] for index in sorted(drawn))
