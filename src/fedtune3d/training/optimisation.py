"""The optimiser of a round, with separate learning rates for head and encoder."""

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from fedtune3d.training.settings import TrainingSettings, rate_factor


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
) -> torch.optim.Optimizer:
    """Create an optimiser over the parameters; biases and norms (one axis) have no weight decay."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in sorted(parameters.items()):
        decay = settings.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rates[name], decay), []).append(parameter)
    options = [{"params": members, "lr": rate, "weight_decay": decay} for (rate, decay), members in groups.items()]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(options, lr=settings.head_learning_rate, momentum=settings.momentum)
    return torch.optim.AdamW(options, lr=settings.head_learning_rate)
