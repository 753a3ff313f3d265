"""The fast linear layer against `functional.linear`."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional

import fedtune3d
from fedtune3d._utils.seeds import torch_rng
from fedtune3d.models.linear import PRIVATE_OPERATOR, FastLinear, fast_linear

LAST_MEASURED = (2, 13)
"""The version of PyTorch with which `functional.linear` was last measured to be slower than oneDNN."""


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


def test_without_the_private_operator_the_public_function_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedtune3d.models.linear.PRIVATE_OPERATOR", "no such operator")
    inputs = layer_inputs("weight")
    assert torch.equal(fast_linear(**inputs), functional.linear(inputs["x"], inputs["weight"], inputs["bias"]))


def test_the_private_operator_stands_in_one_file() -> None:
    package = Path(fedtune3d.__file__).parent
    users = [path for path in package.rglob("*.py") if "torch.ops." in path.read_text(encoding="utf-8")]
    assert [path.relative_to(package).as_posix() for path in users] == ["models/linear.py"]


def test_the_private_operator_goes_when_pytorch_is_as_fast_without_it() -> None:
    version = tuple(map(int, torch.__version__.split(".")[:2]))
    assert version <= LAST_MEASURED, (
        f"run benchmarks/encoder.py with PyTorch {torch.__version__}: if functional.linear is as fast, delete "
        "models/linear.py and use nn.Linear; if not, raise LAST_MEASURED"
    )
    assert hasattr(torch.ops.mkldnn, PRIVATE_OPERATOR), "the operator is gone: delete models/linear.py"
