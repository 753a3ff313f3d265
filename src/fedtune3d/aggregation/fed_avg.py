"""FedAvg: every training example counts equally."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import shares
from fedtune3d.aggregation.contract import AVERAGING, Aggregate, Memory, Update
from fedtune3d.aggregation.sums import SumRule, Sums, Weighing


@dataclass(frozen=True)
class FedAvg(SumRule):
    """w ← Σ_k n_k w_k / Σ_k n_k, where n_k is the number of training examples at site k.

    McMahan et al. 2017, arXiv:1602.05629, Algorithm 1.

    Memory use: one state (float64) and one update at a time; nothing is kept between rounds. Uses no validation scores,
    so sites may have validation sets with one class or none; a site of two participants gets a small weight.
    """

    name = "fedavg"
    implies = AVERAGING

    def step(
        self, state: State, sums: Sums, updates: Sequence[Update], weighing: Weighing, memory: Memory
    ) -> Aggregate:
        return Aggregate(sums.average(state), shares(weighing.amounts), memory)
