"""Selection of the sites that train in a round."""

import math

from fedtune3d._utils.seeds import numpy_rng


def choose_participants(sites: tuple[str, ...], fraction: float, seed: int, round_: int) -> tuple[str, ...]:
    """Draw ⌈fraction · number of sites⌉ sites for a round, from (seed, round) only. Returns sorted names."""
    names = sorted(sites)
    count = math.ceil(fraction * len(names) - 1e-9)
    drawn = numpy_rng(seed, "participants", round_).choice(len(names), size=count, replace=False)
    return tuple(names[index] for index in sorted(drawn))
