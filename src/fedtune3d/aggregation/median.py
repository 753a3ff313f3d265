"""FedMedian: the coordinate-wise median over sites."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

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


@dataclass(frozen=True)
class Median(Rule):
    """w ← the coordinate-wise median of the w_k; for an even number of sites, the mean of the middle two.

    Yin et al. 2018, arXiv:1803.01498, Algorithm 1, option I. The median is also taken of integers and Booleans.

    Memory use: all updates of the round, in their own dtypes, and one tensor of each in float64; nothing is kept
    between rounds. Has no weights and uses no validation scores; a site of two participants counts as much as the
    largest. With two sites it equals SimpleAvg; it tolerates faults at fewer than half of the sites.
    """

    name = "median"
    implies = frozenset({LONE_SITE_RETURNS_ITSELF, EQUAL_UPDATES_RETURN_THEMSELVES})
    without_sums = "a median is no sum. Choose fedavg: participation.max_norm then bounds each update at its site"

    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
        received = [load_checked(update, state) for update in in_site_order(updates)]
        low, high = (len(received) - 1) // 2, len(received) // 2 + 1
        middle = {name: mean_of_ranks([sent[name] for sent in received], low, high) for name in state}
        return Aggregate({name: cast_like(middle[name], state[name]) for name in state}, None, memory)


def mean_of_ranks(tensors: Sequence[torch.Tensor], low: int, high: int) -> torch.Tensor:
    """Compute the element-wise mean of the values ranked `low` to `high` − 1 over the tensors, in float64."""
    ranked = torch.stack([tensor.double() for tensor in tensors]).sort(dim=0).values
    return ranked[low:high].mean(dim=0)
