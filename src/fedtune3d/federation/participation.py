"""Selection of the sites that train in a round."""

from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.config.participation import drawn_sites


def choose_participants(sites: tuple[str, ...], fraction: float, seed: int, round_: int) -> tuple[str, ...]:
    """Draw ⌈fraction · number of sites⌉ sites for a round, from (seed, round) only. Returns sorted names."""
    names = sorted(sites)
    count = drawn_sites(len(names), fraction)
    drawn = numpy_rng(seed, "participants", round_).choice(len(names), size=count, replace=False)
    return tuple(names[index] for index in sorted(drawn))
