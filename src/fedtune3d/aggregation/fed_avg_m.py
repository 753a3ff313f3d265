"""FedAvgM: FedAvg with momentum at the server."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedtune3d._utils.ranges import BelowOne, Positive
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import shares
from fedtune3d.aggregation.changes import ChangeRule, change, moved, parameters_of
from fedtune3d.aggregation.contract import WEIGHTS_SUM_TO_ONE, Aggregate, Memory, Update
from fedtune3d.aggregation.sums import Sums, Weighing


@dataclass(frozen=True)
class FedAvgM(ChangeRule):
    """v ← β v + Σ_k n_k Δ_k / Σ_k n_k; w ← w + η v. Buffers are averaged as in FedAvg.

    Hsu et al. 2019, arXiv:1909.06335, §4. The convention is that of torch.optim.SGD without dampening.

    Memory use: two states (float64) and one update at a time; v (float64, the size of the trained parameters) is kept
    between rounds. Uses no validation scores; a site of two participants gets a small weight.

    Options:
        rate: η, above 0.
        momentum: β, 0 or more, below 1. The paper tries values up to 0.99; the default is 0.9.
    """

    name = "fedavgm"
    implies = frozenset({WEIGHTS_SUM_TO_ONE})
    rate: Positive = 1.0
    momentum: BelowOne = 0.9

    def step(
        self, state: State, sums: Sums, updates: Sequence[Update], weighing: Weighing, memory: Memory
    ) -> Aggregate:
        """Move the state along the velocity, which takes in the mean change."""
        means = sums.mean(state)
        velocity = change(state, means, parameters_of(state, memory))
        for name, before in memory.tensors.items():
            velocity[name] = self.momentum * before + velocity[name]
        steps = {name: self.rate * tensor for name, tensor in velocity.items()}
        return Aggregate(moved(state, means, steps), shares(weighing.amounts), Memory(memory.values, velocity))
