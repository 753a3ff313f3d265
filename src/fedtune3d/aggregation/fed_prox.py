"""FedProx: FedAvg with a proximal term that pulls each site towards the received state."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from fedtune3d._utils.ranges import NonNegative
from fedtune3d.aggregation.contract import Memory
from fedtune3d.aggregation.fed_avg import FedAvg
from fedtune3d.aggregation.site_step import GradientCorrection, LocalOptimizer, Parts, SiteStep


@dataclass(frozen=True)
class ProximalStep(SiteStep):
    """Add μ/2 ‖w − w_received‖² (Li et al. 2020, equation 2) to the local loss; its gradient is clipped with the rest.

    Attributes:
        mu: μ, at least 0.
    """

    mu: NonNegative = 0.0

    def correction(
        self, parameters: Mapping[str, torch.nn.Parameter], optimizer: LocalOptimizer, remembered: Parts
    ) -> GradientCorrection:
        return _ProximalTerm(self.mu, parameters) if self.mu else GradientCorrection()


class _ProximalTerm(GradientCorrection):
    def __init__(self, mu: float, parameters: Mapping[str, torch.nn.Parameter]) -> None:
        self.mu = mu
        self.received = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    def before_clipping(self, parameters: Mapping[str, torch.nn.Parameter]) -> None:
        for name, parameter in parameters.items():
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - self.received[name], alpha=self.mu)


@dataclass(frozen=True)
class FedProx(FedAvg):
    """FedAvg with μ/2 ‖w − w_received‖² over the trained parameters added to each site's loss.

    Li et al. 2020, arXiv:1812.06127, Algorithm 2. With LoRA, the norm is that of the factors' change in every mode.

    Memory use and treatment of small sites are as in FedAvg; uses no validation scores.

    Options:
        mu: μ, at least 0. The paper tries 0.001 to 1; our default is 0.01. 0 is FedAvg.
    """

    name = "fedprox"
    step_type = ProximalStep
    mu: NonNegative = 0.01

    def site_step(self, memory: Memory, site: str) -> SiteStep:
        return ProximalStep(mu=self.mu)
