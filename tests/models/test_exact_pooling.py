"""Pooling along axes against PyTorch's, with gradients; these are what a GPU uses."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedtune3d.models.exact_pooling import MaxPool3d, mix_along_axes

MAPS = torch.rand(2, 3, 12, 12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
WEIGHTS = torch.rand(2, 3, 12, 12, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def with_gradient(pool: Callable[[Tensor], Tensor], maps: Tensor = MAPS) -> tuple[Tensor, Tensor]:
    """The pooled maps and the gradient of a weighted sum of them."""
    leaf = maps.clone().requires_grad_()
    pooled = pool(leaf)
    (pooled * WEIGHTS[:, :, : pooled.shape[2], : pooled.shape[3], : pooled.shape[4]]).sum().backward()
    assert leaf.grad is not None
    return pooled.detach(), leaf.grad


@pytest.mark.parametrize(
    ("along_axes", "pytorch"),
    [
        (
            lambda x: mix_along_axes(x, lambda each: functional.adaptive_avg_pool1d(each, 8)),
            lambda x: functional.adaptive_avg_pool3d(x, 8),
        ),
        (
            lambda x: mix_along_axes(x[..., ::3, ::3, ::3], lambda each: functional.interpolate(each, 8)),
            lambda x: functional.interpolate(x[..., ::3, ::3, ::3], (8, 8, 8)),
        ),
        (lambda x: mix_along_axes(x, lambda each: functional.avg_pool1d(each, 2, 2, 0)), nn.AvgPool3d(2, 2)),
        (MaxPool3d(3, stride=2, padding=1).along_axes, nn.MaxPool3d(3, stride=2, padding=1)),
    ],
    ids=["mean of unequal parts", "nearest", "mean of cubes", "maximum"],
)
def test_as_pytorch_pools(along_axes: Callable[[Tensor], Tensor], pytorch: Callable[[Tensor], Tensor]) -> None:
    for ours, theirs in zip(with_gradient(along_axes), with_gradient(pytorch), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_greatest_share_the_gradient() -> None:
    _, gradient = with_gradient(MaxPool3d(2, stride=2, padding=0).along_axes, torch.ones_like(MAPS))
    _, expected = with_gradient(nn.AvgPool3d(2, 2), torch.ones_like(MAPS))
    torch.testing.assert_close(gradient, expected)
