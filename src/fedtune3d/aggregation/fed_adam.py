"""FedAdam: Adam at the server, with the mean change as its gradient."""

import math
from dataclasses import dataclass

import torch

from fedtune3d.aggregation.adaptive import AdaptiveRule


@dataclass(frozen=True)
class FedAdam(AdaptiveRule):
    """`AdaptiveRule` with v ← β₂ v + (1 − β₂) Δ².

    Reddi et al. 2021, arXiv:2003.00295, Algorithm 2. The paper does not correct the bias of the moments. Flower does,
    η_t = η √(1 − β₂^(t+1)) / (1 − β₁^(t+1)) with t from 1 (the exponent is t in Kingma & Ba, 2014), and is followed
    here by default.

    Memory use: three states (float64) and one update at a time; m and v (float64, each the size of the trained
    parameters) are kept between rounds. Uses no validation scores; a site of two participants gets a small weight.

    Options:
        rate: η, above 0; roughly the largest step of one parameter per round. Our default is 0.01.
        beta_1, beta_2: 0 or more, below 1.
        tau: τ, above 0; larger values are less adaptive.
        bias_correction: false for the paper's form.
    """

    name = "fedadam"
    bias_correction: bool = True

    def second_moment(self, before: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        return self.beta_2 * before + (1 - self.beta_2) * square

    def rate_in(self, rounds: int) -> float:
        if not self.bias_correction:
            return self.rate
        return self.rate * math.sqrt(1 - self.beta_2 ** (rounds + 1)) / (1 - self.beta_1 ** (rounds + 1))
