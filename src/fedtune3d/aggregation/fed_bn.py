"""FedBN: each site keeps its own normalisation layers."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import shares
from fedtune3d.aggregation.contract import AVERAGING, Aggregate, Memory, RuleContext, Update
from fedtune3d.aggregation.site_step import SiteStep
from fedtune3d.aggregation.sums import SumRule, Sums, Weighing

LOCAL = "local"


@dataclass(frozen=True)
class FedBN(SumRule):
    """FedAvg over everything except the parameters and buffers of normalisation layers, which stay at each site.

    Li et al. 2021, arXiv:2102.07623. The paper's layers are batch normalisation; here group and layer normalisation
    count as well. The global state keeps its initial normalisation layers, so its user must choose a site's layers.
    The rule is refused if the trained part has no normalisation layer.

    Memory use: one state (float64) and one update at a time; the names of the local layers are kept between rounds.
    Uses no validation scores; a site of two participants keeps layers fitted to these two.
    """

    name = "fedbn"
    implies = AVERAGING

    def start(self, state: State, context: RuleContext) -> tuple[State, Memory]:
        local = sorted(set(context.normalisation) & state.keys())
        if not local:
            raise InputError(
                "rule fedbn: expected normalisation layers in the trained part, got none; choose a head or tuning "
                "that has some, or rule fedavg"
            )
        return state, Memory({LOCAL: local})

    def site_step(self, memory: Memory, site: str) -> SiteStep:
        return SiteStep(keep_local=tuple(_local(memory)))

    def step(
        self, state: State, sums: Sums, updates: Sequence[Update], weighing: Weighing, memory: Memory
    ) -> Aggregate:
        local = _local(memory)
        shared = {name: tensor for name, tensor in state.items() if name not in local}
        averaged = sums.average(shared)
        return Aggregate({name: averaged.get(name, state[name]) for name in state}, shares(weighing.amounts), memory)


def _local(memory: Memory) -> list[str]:
    return memory.read(LOCAL, list[str])
