"""FedProx: FedAvg with a pull towards the state that came down."""

from dataclasses import dataclass

from fedtune3d.aggregation.contract import LocalPlan, Memory
from fedtune3d.aggregation.fed_avg import FedAvg
from fedtune3d.aggregation.options import require_number


@dataclass(frozen=True)
class FedProx(FedAvg):
    """FedAvg, where each site's loss has μ/2 ‖w − w_received‖² added over its trained parameters.

    Li et al. 2020, arXiv:1812.06127, Algorithm 2. With LoRA the norm is that of the factors' change, in every mode.

    Holds, remembers and treats small sites as FedAvg does; looks at no score.

    Options:
        mu: μ, at least 0. The paper tries 0.001 to 1; 0.01 by default, ours. 0 is FedAvg.
    """

    name = "fedprox"
    mu: float = 0.01

    def __post_init__(self) -> None:
        require_number(self, "mu", least=0)

    def local_plan(self, memory: Memory, site: str) -> LocalPlan:
        return LocalPlan(proximal_mu=self.mu)
