"""The optimiser of a round, with separate learning rates for head and encoder.

The steps are those of `torch.optim`, called as functions: making one of its classes imports ``torch._dynamo``,
which costs every process that trains as much time as importing torch itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import nn
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from fedtune3d.training.settings import TrainingSettings, rate_factor


class Optimizer(Protocol):
    """The interface that local training needs of an optimiser."""

    def step(self) -> None:
        """Change the parameters that have a gradient."""


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters with one learning rate and one weight decay."""

    parameters: Sequence[nn.Parameter]
    rate: float
    decay: float


def learning_rates(
    names: Iterable[str], settings: TrainingSettings, round_number: int, rounds: int
) -> dict[str, float]:
    """Return the learning rate of each name in round `round_number` of `rounds`; it is constant within the round."""
    factor = rate_factor(settings, round_number, rounds)
    return {
        name: factor * (settings.encoder_learning_rate if name.startswith("encoder.") else settings.head_learning_rate)
        for name in names
    }


def build_optimizer(
    parameters: Mapping[str, nn.Parameter], rates: Mapping[str, float], settings: TrainingSettings
) -> Optimizer:
    """Create an optimiser over the parameters; biases and norms (one axis) have no weight decay."""
    members: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in sorted(parameters.items()):
        decay = settings.weight_decay if parameter.ndim > 1 else 0.0
        members.setdefault((rates[name], decay), []).append(parameter)
    groups = [ParameterGroup(group, rate, decay) for (rate, decay), group in members.items()]
    return SGD(groups, settings.momentum) if settings.optimizer == "sgd" else AdamW(groups)


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent; the same bits as `torch.optim.SGD`."""

    groups: Sequence[ParameterGroup]
    momentum: float
    _velocities: dict[torch.Tensor, torch.Tensor] = field(default_factory=dict)

    @torch.no_grad()
    def step(self) -> None:
        """Change the parameters that have a gradient."""
        for group in self.groups:
            parameters, gradients = _with_gradients(group.parameters)
            velocities: list[torch.Tensor | None] = [self._velocities.get(parameter) for parameter in parameters]
            sgd(
                parameters,
                gradients,
                velocities,
                weight_decay=group.decay,
                momentum=self.momentum,
                lr=group.rate,
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )
            if self.momentum:
                self._velocities.update(
                    (parameter, velocity)
                    for parameter, velocity in zip(parameters, velocities, strict=True)
                    if velocity is not None
                )


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019); the bits of `torch.optim.AdamW` with ``fused``.

    Each parameter is passed over once, instead of once for each of the ten operations of a step.
    """

    groups: Sequence[ParameterGroup]
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    _moments: dict[torch.Tensor, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    @torch.no_grad()
    def step(self) -> None:
        """Change the parameters that have a gradient."""
        for group in self.groups:
            parameters, gradients = _with_gradients(group.parameters)
            moments = [self._moments_of(parameter) for parameter in parameters]
            adamw(
                parameters,
                gradients,
                [first for first, _, _ in moments],
                [second for _, second, _ in moments],
                [],
                [steps for _, _, steps in moments],
                fused=True,
                amsgrad=False,
                beta1=self.betas[0],
                beta2=self.betas[1],
                lr=group.rate,
                weight_decay=group.decay,
                eps=self.epsilon,
                maximize=False,
            )

    def _moments_of(self, parameter: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the first and second moments of a parameter's gradients, and the count of its steps."""
        if parameter not in self._moments:
            zeros = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            self._moments[parameter] = zeros, zeros.clone(), torch.zeros((), device=parameter.device)
        return self._moments[parameter]


def _with_gradients(parameters: Sequence[nn.Parameter]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    pairs = [(parameter, parameter.grad) for parameter in parameters if parameter.grad is not None]
    return [parameter for parameter, _ in pairs], [gradient for _, gradient in pairs]
