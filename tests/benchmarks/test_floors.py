"""The arithmetic of a network, counted by hand."""

from types import ModuleType

import pytest
import torch
from benchmark_programs import load_program
from torch import Tensor, nn

from fedtune3d.models.linear import FastLinear


@pytest.fixture(scope="module")
def floors() -> ModuleType:
    return load_program("floors")


def attend(x: Tensor) -> Tensor:
    return nn.functional.scaled_dot_product_attention(x, x, x)


def add_product(x: Tensor) -> Tensor:
    return torch.zeros(len(x), 4, 4).baddbmm_(x, x.mT)


@pytest.mark.parametrize(
    ("network", "shape", "flop"),
    [
        pytest.param(nn.Conv3d(2, 3, 3, padding=1), (1, 2, 4, 4, 4), 2 * 3 * 4**3 * 2 * 3**3, id="convolution"),
        pytest.param(FastLinear(5, 7), (1, 4, 5), 2 * 4 * 5 * 7, id="linear"),
        pytest.param(attend, (1, 2, 4, 8), 2 * 2 * 4 * 4 * (8 + 8), id="attention"),
        pytest.param(add_product, (3, 4, 5), 2 * 3 * 4 * 4 * 5, id="products added"),
    ],
)
def test_products_and_convolutions_are_counted(
    floors: ModuleType, network: nn.Module, shape: tuple[int, ...], flop: int
) -> None:
    assert floors.forward_gflop(network, torch.rand(shape)) == pytest.approx(flop / 1e9)


def test_the_best_turn_counts_after_one_to_warm_up(floors: ModuleType) -> None:
    """Turns of 1, 5 and 3 s, of which the first is not counted."""
    now, lengths = [0.0], iter((1.0, 5.0, 3.0))

    def run() -> None:
        now[0] += next(lengths)

    assert floors.best_seconds({"run": run}, 2, lambda: now[0]) == {"run": 3.0}
