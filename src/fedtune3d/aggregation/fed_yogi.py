"""FedYogi: Yogi at the server, whose second moment forgets more slowly than Adam's."""

from dataclasses import dataclass

import torch

from fedtune3d.aggregation.adaptive import AdaptiveRule


@dataclass(frozen=True)
class FedYogi(AdaptiveRule):
    """`AdaptiveRule` with v ← v − (1 − β₂) Δ² sign(v − Δ²), without correction of bias.

    Reddi et al. 2021, arXiv:2003.00295, Algorithm 2.

    Holds three states (float64) and one update; remembers m and v (float64, each the size of the trained parameters).
    Looks at no score; a site of two participants has a weight to match.

    Options:
        rate: η, above 0. 0.01 by default.
        beta_1, beta_2: from 0 to below 1.
        tau: τ, above 0; the larger, the less adaptive.
    """

    name = "fedyogi"

    def second_moment(self, before: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        return before - (1 - self.beta_2) * square * torch.sign(before - square)
