"""Trimmed mean: the coordinate-wise mean over sites without the largest and smallest values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from fedtune3d._utils.ranges import Number
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import cast_like, in_site_order, load_checked
from fedtune3d.aggregation.contract import (
    EQUAL_UPDATES_RETURN_THEMSELVES,
    LONE_SITE_RETURNS_ITSELF,
    Aggregate,
    Memory,
    Rule,
    Update,
)
from fedtune3d.aggregation.median import mean_of_ranks


@dataclass(frozen=True)
class TrimmedMean(Rule):
    """w ← the coordinate-wise mean of the w_k without the ⌊β N⌋ largest and the ⌊β N⌋ smallest values.

    Yin et al. 2018, arXiv:1803.01498, Algorithm 1, option II. With fewer than 1 / β sites nothing is trimmed; the round
    signal ``cut`` is the number of values trimmed at each end.

    Memory use: all updates of the round, in their own dtypes, and one tensor of each in float64; nothing is kept
    between rounds. Has no weights and uses no validation scores; a site of two participants counts as much as the
    largest.

    Options:
        trim: β, the fraction trimmed at each end, 0 or more, below 0.5. The default is 0.2, as in Flower.
    """

    name = "trimmed_mean"
    implies = frozenset({LONE_SITE_RETURNS_ITSELF, EQUAL_UPDATES_RETURN_THEMSELVES})
    without_sums = "it ranks updates. Choose fedavg: participation.max_norm then bounds each update at its site"
    trim: Annotated[Number, Field(ge=0, lt=0.5, allow_inf_nan=False)] = 0.2

    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
        received = [load_checked(update, state) for update in in_site_order(updates)]
        cut = int(self.trim * len(received))
        means = {name: mean_of_ranks([sent[name] for sent in received], cut, len(received) - cut) for name in state}
        trimmed = {name: cast_like(means[name], state[name]) for name in state}
        return Aggregate(trimmed, None, memory, round_signals={"cut": float(cut)})
