import pytest
import torch
from torch import nn

from fedtune3d.training.optimisation import build_optimizer, learning_rates
from fedtune3d.training.settings import TrainingSettings


def parameters() -> dict[str, nn.Parameter]:
    shapes = {"encoder.w": (2, 2), "encoder.b": (2,), "head.w": (2, 2), "head.b": (2,)}
    return {name: nn.Parameter(torch.ones(shape)) for name, shape in shapes.items()}


def test_head_and_encoder_have_their_rates_and_one_axis_is_not_decayed() -> None:
    settings = TrainingSettings(head_learning_rate=0.1, encoder_learning_rate=0.01, weight_decay=0.5)
    rates = learning_rates(parameters(), settings, 1, 1)
    assert rates == {"encoder.w": 0.01, "encoder.b": 0.01, "head.w": 0.1, "head.b": 0.1}
    groups = build_optimizer(parameters(), rates, settings).param_groups
    found = sorted((group["lr"], group["weight_decay"], group["params"][0].ndim) for group in groups)
    assert found == [(0.01, 0.0, 1), (0.01, 0.5, 2), (0.1, 0.0, 1), (0.1, 0.5, 2)]


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_the_optimizer_is_the_one_asked_for(name: str, kind: type) -> None:
    settings = TrainingSettings(optimizer=name, momentum=0.3)  # type: ignore[arg-type]
    optimizer = build_optimizer(parameters(), learning_rates(parameters(), settings, 1, 1), settings)
    assert type(optimizer) is kind
    assert kind is torch.optim.AdamW or {group["momentum"] for group in optimizer.param_groups} == {0.3}
