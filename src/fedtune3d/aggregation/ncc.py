"""The rule for nearest-centre classification (NCC): class sums and counts are added, not averaged."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import cast_like
from fedtune3d.aggregation.contract import LONE_SITE_RETURNS_ITSELF, Aggregate, Memory, Update
from fedtune3d.aggregation.site_step import STATE
from fedtune3d.aggregation.sums import SumRule, Sums, Weighing


@dataclass(frozen=True)
class Ncc(SumRule):
    """S_c ← Σ_k S_{k,c} and n_c ← Σ_k n_{k,c}: the centres S_c / n_c are those of all scans pooled.

    Needs one round; a second would give the same sums. A site with fewer people per class than its policy requires
    sends nothing and does not contribute; a site with one class contributes to that class only. Validation sets are not
    used.

    Memory use: one state (float64) and one update at a time; nothing is kept between rounds. Has no weights: every scan
    counts equally.
    """

    name = "ncc"
    implies = frozenset({LONE_SITE_RETURNS_ITSELF})
    in_product_space = False

    def weigh(self, updates: Sequence[Update], memory: Memory) -> Weighing:
        """Weight all updates equally, as class sums are added up."""
        return Weighing(dict.fromkeys((update.site for update in updates), 1.0))

    def step(
        self, state: State, sums: Sums, updates: Sequence[Update], weighing: Weighing, memory: Memory
    ) -> Aggregate:
        totals = sums.total(STATE, state)
        return Aggregate({name: cast_like(totals[name], tensor) for name, tensor in state.items()}, None, memory)
