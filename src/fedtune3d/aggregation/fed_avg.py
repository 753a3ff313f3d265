"""FedAvg: every training example counts the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import example_counts, shares, weighted_average
from fedtune3d.aggregation.contract import AVERAGING, Aggregate, Memory, Rule, Update


@dataclass(frozen=True)
class FedAvg(Rule):
    """w ← Σ_k n_k w_k / Σ_k n_k, with n_k the training examples of site k.

    McMahan et al. 2017, arXiv:1602.05629, Algorithm 1.

    Holds one state (float64) and one update. Remembers nothing. Looks at no score, so a validation set of one class or
    none makes no difference; a site of two participants has a weight to match.
    """

    name = "fedavg"
    implies = AVERAGING

    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
        counts = example_counts(updates)
        return Aggregate(weighted_average(state, updates, counts), shares(counts), memory)
