"""Base class of FedAdam and FedYogi: moments of the mean change, kept at the server."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fedtune3d._utils.ranges import BelowOne, Positive
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import shares
from fedtune3d.aggregation.changes import ChangeRule, change, moved, parameters_of
from fedtune3d.aggregation.contract import WEIGHTS_SUM_TO_ONE, Aggregate, Memory, Update
from fedtune3d.aggregation.sums import Sums, Weighing

FIRST, SECOND = "first.", "second."
ROUNDS = "rounds"


@dataclass(frozen=True)
class AdaptiveRule(ChangeRule):
    """Δ = Σ_k n_k Δ_k / Σ_k n_k; m ← β₁ m + (1 − β₁) Δ; v ← `second_moment`; w ← w + η_t m / (√v + τ).

    Reddi et al. 2021, arXiv:2003.00295, Algorithm 2; m and v start at 0. Buffers are averaged as in FedAvg.
    """

    implies = frozenset({WEIGHTS_SUM_TO_ONE})
    rate: Positive = 0.01
    beta_1: BelowOne = 0.9
    beta_2: BelowOne = 0.99
    tau: Positive = 1e-3

    @abstractmethod
    def second_moment(self, before: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        """Return the new v, given the previous v and Δ²."""

    def rate_in(self, rounds: int) -> float:
        """Return η_t of a round, counted from 1 over the aggregated rounds."""
        return self.rate

    def step(
        self, state: State, sums: Sums, updates: Sequence[Update], weighing: Weighing, memory: Memory
    ) -> Aggregate:
        """Move the state by the mean change, scaled per parameter by its second moment."""
        means = sums.mean(state)
        rounds = memory.read(ROUNDS, int, 0) + 1
        rate = self.rate_in(rounds)
        moments: State = {}
        steps: State = {}
        for name, mean_change in change(state, means, parameters_of(state, memory)).items():
            zeros = torch.zeros_like(mean_change)
            first = self.beta_1 * memory.tensors.get(FIRST + name, zeros) + (1 - self.beta_1) * mean_change
            second = self.second_moment(memory.tensors.get(SECOND + name, zeros), mean_change.square())
            moments[FIRST + name], moments[SECOND + name] = first, second
            steps[name] = rate * first / (second.sqrt() + self.tau)
        after = Memory({**memory.values, ROUNDS: rounds}, moments)
        return Aggregate(
            moved(state, means, steps), shares(weighing.amounts), after, round_signals={"server_rate": rate}
        )
