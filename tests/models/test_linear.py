"""The fast linear layer against `functional.linear`."""

import pytest
import torch
from torch.nn import functional

from fedtune3d._utils.seeds import torch_rng
from fedtune3d.models.linear import FastLinear, fast_linear


def layer_inputs(*trained: str) -> dict[str, torch.Tensor]:
    rng = torch_rng("linear")
    shapes = {"x": (2, 3, 5), "weight": (4, 5), "bias": (4,)}
    return {name: torch.randn(shape, generator=rng).requires_grad_(name in trained) for name, shape in shapes.items()}


@pytest.mark.parametrize("trained", [(), ("x",), ("weight",), ("bias",), ("x", "bias"), ("x", "weight", "bias")])
def test_values_and_gradients_equal_the_plain_product(trained: tuple[str, ...]) -> None:
    ours, plain = layer_inputs(*trained), layer_inputs(*trained)
    got, expected = fast_linear(**ours), functional.linear(plain["x"], plain["weight"], plain["bias"])
    torch.testing.assert_close(got, expected)
    assert got.requires_grad == bool(trained)
    if trained:
        got.square().sum().backward()
        expected.square().sum().backward()
    for name in ours:
        assert (ours[name].grad is None) == (name not in trained)
        if name in trained:
            torch.testing.assert_close(ours[name].grad, plain[name].grad)


def test_other_dtypes_autocast_and_no_bias_are_served_too() -> None:
    inputs = layer_inputs()
    doubles = {name: tensor.double() for name, tensor in inputs.items()}
    assert fast_linear(**doubles).dtype == torch.float64
    with torch.autocast("cpu", torch.bfloat16):
        assert fast_linear(**inputs).dtype == torch.bfloat16
    torch.testing.assert_close(
        fast_linear(inputs["x"], inputs["weight"], None), functional.linear(inputs["x"], inputs["weight"])
    )
    assert fast_linear(inputs["x"][:0], inputs["weight"], None).shape == (0, 3, 4)
    layer = FastLinear(5, 4)
    assert layer.state_dict().keys() == {"weight", "bias"}
    torch.testing.assert_close(layer(inputs["x"]), functional.linear(inputs["x"], layer.weight, layer.bias))
