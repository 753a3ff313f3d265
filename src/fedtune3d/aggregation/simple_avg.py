"""SimpleAvg: every site counts equally."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import shares, weighted_average
from fedtune3d.aggregation.contract import AVERAGING, Aggregate, Memory, Rule, Update


@dataclass(frozen=True)
class SimpleAvg(Rule):
    """w ← Σ_k w_k / N over the N sites of the round.

    Memory use: one state (float64) and one update at a time; nothing is kept between rounds. Uses no validation scores,
    so sites may have validation sets with one class or none; a site of two participants counts as much as the largest.
    """

    name = "simpleavg"
    implies = AVERAGING

    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
        equal = dict.fromkeys((update.site for update in updates), 1.0)
        return Aggregate(weighted_average(state, updates, equal), shares(equal), memory)
