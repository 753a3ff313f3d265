"""The rule for nearest-centre classification (NCC): class sums and counts are added, not averaged."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import cast_like, in_site_order, load_checked
from fedtune3d.aggregation.contract import LONE_SITE_RETURNS_ITSELF, Aggregate, Memory, Rule, Update


@dataclass(frozen=True)
class Ncc(Rule):
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

    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
        """Add the sites' class sums and counts."""
        sums = {
            name: torch.zeros(tensor.shape, dtype=torch.float64 if tensor.is_floating_point() else torch.int64)
            for name, tensor in state.items()
        }
        for update in in_site_order(updates):
            received = load_checked(update, state)
            for name, total in sums.items():
                total += received[name].to(total.dtype)
        return Aggregate({name: cast_like(sums[name], tensor) for name, tensor in state.items()}, None, memory)
