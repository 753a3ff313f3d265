"""Random draws of differential privacy: from a seed in a simulation, from the operating system across hospitals."""

import math
import os
from collections.abc import Callable
from typing import Protocol

import torch

from fedtune3d._utils.seeds import torch_rng
from fedtune3d.training.local import LocalRound

_BITS = 53
"""Bits of a uniform draw, as many as a float64 holds."""
_STEPS = 1 << _BITS


class Draws(Protocol):
    """The draws of one round at one site. Whoever can repeat them can take the noise off."""

    def uniform(self, count: int) -> torch.Tensor:
        """Draw `count` numbers from 0 to below 1, float64."""
        ...

    def normal(self, count: int) -> torch.Tensor:
        """Draw `count` numbers from the standard normal distribution, float64."""
        ...


MakeDraws = Callable[[LocalRound], Draws]


class SeededDraws:
    """Draws that follow from seed, site and round, so that a simulation can be repeated. They protect nobody."""

    def __init__(self, local_round: LocalRound) -> None:
        causes = (local_round.seed, local_round.site, local_round.round)
        self._sample = torch_rng("private sample", *causes)
        self._noise = torch_rng("private noise", *causes)

    def uniform(self, count: int) -> torch.Tensor:
        """Draw `count` numbers from 0 to below 1, float64."""
        return torch.rand(count, dtype=torch.float64, generator=self._sample)

    def normal(self, count: int) -> torch.Tensor:
        """Draw `count` numbers from the standard normal distribution, float64."""
        return torch.randn(count, dtype=torch.float64, generator=self._noise)


class SystemDraws:
    """Draws from the operating system's generator, which nobody can repeat."""

    def uniform(self, count: int) -> torch.Tensor:
        """Draw `count` numbers from 0 to below 1, float64."""
        words = torch.frombuffer(bytearray(os.urandom(8 * max(count, 1))), dtype=torch.int64)[:count]
        mantissas: torch.Tensor = (words >> (64 - _BITS)) & (_STEPS - 1)
        return mantissas.double() / _STEPS

    def normal(self, count: int) -> torch.Tensor:
        """Draw `count` numbers from the standard normal distribution, float64, by the method of Box and Muller."""
        radius = torch.sqrt(-2 * torch.log1p(-self.uniform(count)))
        return radius * torch.cos(2 * math.pi * self.uniform(count))


def system_draws(local_round: LocalRound) -> Draws:
    """Return the draws of a round that follow from nothing."""
    return SystemDraws()
