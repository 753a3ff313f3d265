"""SCAFFOLD: control variates that take each site's drift out of its gradients."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import in_site_order, mean_in_float64, shares
from fedtune3d.aggregation.changes import change, moved, parameters_at_start
from fedtune3d.aggregation.checks import find_fault
from fedtune3d.aggregation.contract import (
    AVERAGING,
    CONTROL,
    CONTROL_CHANGE,
    Aggregate,
    LocalPlan,
    Memory,
    Rule,
    RuleContext,
    Update,
)
from fedtune3d.aggregation.options import require_number

SITES = "sites"


@dataclass(frozen=True)
class SCAFFOLD(Rule):
    """w ← w + η Σ_{k∈S} Δ_k / |S|; c ← c + Σ_{k∈S} (c_k⁺ − c_k) / N, over the round's sites S of all N.

    Karimireddy et al. 2020, arXiv:1910.06378, Algorithm 1, with option II for the site's control variate:
    c_k⁺ = c_k − c + (w − w_k) / (K η_l) after K steps of rate η_l, each with c − c_k added to its gradient.
    It holds for plain SGD of a rate constant within a round; anything else is refused. As in the paper, sites count the
    same whatever their size. Buffers are averaged over S.

    Holds one state (float64), c and one update; remembers c, and each site its c_k, in the parameters' dtypes.
    Looks at no score. A site of two participants pulls as hard as the largest.

    Options:
        rate: η, above 0.
    """

    name = "scaffold"
    implies = AVERAGING
    in_product_space = False
    rate: float = 1.0

    def __post_init__(self) -> None:
        require_number(self, "rate", above=0)

    def start(self, state: State, context: RuleContext) -> tuple[State, Memory]:
        if context.optimizer != "sgd" or not context.rate_constant:
            schedule = "constant" if context.rate_constant else "changing"
            raise InputError(
                "rule scaffold: expected optimizer sgd with a learning rate constant within a round, "
                f"got {context.optimizer} with a {schedule} rate; its control variates hold for nothing else"
            )
        control = {name: torch.zeros_like(state[name]) for name in parameters_at_start(state, context)}
        return state, Memory({SITES: len(context.sites)}, control)

    def local_plan(self, memory: Memory, site: str) -> LocalPlan:
        return LocalPlan(remember=(CONTROL,), tensors={CONTROL: dict(memory.tensors)})

    def aggregate(self, state: State, updates: Sequence[Update], memory: Memory) -> Aggregate:
        """As above. Raises `ValueError` naming the site whose update or change of control does not fit."""
        equal = dict.fromkeys((update.site for update in updates), 1.0)
        means = mean_in_float64(state, updates, equal)
        steps = {name: self.rate * step for name, step in change(state, means, list(memory.tensors)).items()}
        control = _next_control(memory, updates)
        return Aggregate(moved(state, means, steps), shares(equal), Memory(memory.values, control))


def _next_control(memory: Memory, updates: Sequence[Update]) -> State:
    sums = {name: torch.zeros(tensor.shape, dtype=torch.float64) for name, tensor in memory.tensors.items()}
    for update in in_site_order(updates):
        received = update.load(CONTROL_CHANGE)
        if fault := find_fault(dict(memory.tensors), received):
            raise ValueError(f"site {update.site}: {CONTROL_CHANGE}: {fault}")
        for name, accumulated in sums.items():
            accumulated.add_(received[name].double())
    sites = max(int(memory.values[SITES]), len(updates))
    return {name: (tensor.double() + sums[name] / sites).to(tensor.dtype) for name, tensor in memory.tensors.items()}
