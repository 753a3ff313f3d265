import subprocess
import sys

import pytest
import torch
from torch import nn

from fedtune3d.training.optimisation import ParameterGroup, build_optimizer, learning_rates
from fedtune3d.training.settings import TrainingSettings

SETTINGS = TrainingSettings(head_learning_rate=0.1, encoder_learning_rate=0.01, weight_decay=0.5)


def parameters() -> dict[str, nn.Parameter]:
    shapes = {"encoder.w": (2, 2), "encoder.b": (2,), "head.w": (2, 2), "head.b": (2,)}
    return {name: nn.Parameter(torch.ones(shape)) for name, shape in shapes.items()}


def groups(members: dict[str, nn.Parameter], settings: TrainingSettings) -> list[ParameterGroup]:
    rates = learning_rates(members, settings, 1, 1)
    return build_optimizer(members, rates, settings).groups  # type: ignore[attr-defined, no-any-return]


def test_head_and_encoder_have_their_rates_and_one_axis_is_not_decayed() -> None:
    rates = learning_rates(parameters(), SETTINGS, 1, 1)
    assert rates == {"encoder.w": 0.01, "encoder.b": 0.01, "head.w": 0.1, "head.b": 0.1}
    found = sorted((group.rate, group.decay, group.parameters[0].ndim) for group in groups(parameters(), SETTINGS))
    assert found == [(0.01, 0.0, 1), (0.01, 0.5, 2), (0.1, 0.0, 1), (0.1, 0.5, 2)]


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        SETTINGS.__class__(optimizer="sgd", momentum=0.3, weight_decay=0.5),
        SETTINGS.__class__(optimizer="sgd", momentum=0.0, weight_decay=0.5),
    ],
)
def test_steps_are_those_of_torchs_optimizer_to_the_bit(settings: TrainingSettings) -> None:
    ours, theirs = parameters(), parameters()
    optimizer = build_optimizer(ours, learning_rates(ours, settings, 1, 1), settings)
    options = [
        {"params": list(group.parameters), "lr": group.rate, "weight_decay": group.decay}
        for group in groups(theirs, settings)
    ]
    sgd = settings.optimizer == "sgd"
    reference = torch.optim.SGD(options, momentum=settings.momentum) if sgd else torch.optim.AdamW(options, fused=True)
    draws = torch.Generator().manual_seed(0)
    for step in range(5):
        for name, parameter in ours.items():
            missing = step == 2 and name == "head.w"  # a parameter without a gradient stays where it is
            gradient = None if missing else torch.randn(parameter.shape, generator=draws)
            parameter.grad = gradient
            theirs[name].grad = None if gradient is None else gradient.clone()
        optimizer.step()
        reference.step()
        assert all(torch.equal(parameter, theirs[name]) for name, parameter in ours.items())
    assert not torch.equal(ours["head.w"], torch.ones(2, 2))


@pytest.mark.ci
def test_a_step_does_not_import_the_compiler() -> None:
    code = """
import sys, torch
from fedtune3d.training.optimisation import build_optimizer
from fedtune3d.training.settings import TrainingSettings
weights = {"head.w": torch.nn.Parameter(torch.ones(2, 2))}
weights["head.w"].grad = torch.ones(2, 2)
build_optimizer(weights, {"head.w": 0.1}, TrainingSettings()).step()
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
