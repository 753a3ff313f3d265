"""SimpleAvg: every site counts equally."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import shares
from fedtune3d.aggregation.contract import AVERAGING, Aggregate, Memory, Update
from fedtune3d.aggregation.sums import SumRule, Sums, Weighing


@dataclass(frozen=True)
class SimpleAvg(SumRule):
    """w ← Σ_k w_k / N over the N sites of the round.

    Memory use: one state (float64) and one update at a time; nothing is kept between rounds. Uses no validation scores,
    so sites may have validation sets with one class or none; a site of two participants counts as much as the largest.
    """

    name = "simpleavg"
    implies = AVERAGING

    def weigh(self, updates: Sequence[Update], memory: Memory) -> Weighing:
        """Weight all updates equally."""
        return Weighing(dict.fromkeys((update.site for update in updates), 1.0))

    def step(
        self, state: State, sums: Sums, updates: Sequence[Update], weighing: Weighing, memory: Memory
    ) -> Aggregate:
        return Aggregate(sums.average(state), shares(weighing.amounts), memory)
