"""FedYogi: Yogi at the server, whose second moment changes more slowly than Adam's."""

from dataclasses import dataclass

import torch

from fedtune3d.aggregation.adaptive import AdaptiveRule


@dataclass(frozen=True)
class FedYogi(AdaptiveRule):
    """`AdaptiveRule` with v ← v − (1 − β₂) Δ² sign(v − Δ²), without bias correction.

    Reddi et al. 2021, arXiv:2003.00295, Algorithm 2.

    Memory use: three states (float64) and one update at a time; m and v (float64, each the size of the trained
    parameters) are kept between rounds. Uses no validation scores; a site of two participants gets a small weight.

    Options:
        rate: η, above 0. The default is 0.01.
        beta_1, beta_2: 0 or more, below 1.
        tau: τ, above 0; larger values are less adaptive.
    """

    name = "fedyogi"

    def second_moment(self, before: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        return before - (1 - self.beta_2) * square * torch.sign(before - square)
