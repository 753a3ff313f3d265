"""Pooling whose gradient is the same each time, on a GPU too, where PyTorch's own has no deterministic kernel.

On a CPU these are PyTorch's operations. On a GPU means are products with a matrix along each axis, and maxima are
taken along one axis after the other.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

_AXES = (2, 3, 4)


def mean_pool(maps: Tensor, size: int) -> Tensor:
    """`adaptive_avg_pool3d`: (B, C, x, y, z) → (B, C, size, size, size)."""
    if maps.device.type == "cpu":
        return functional.adaptive_avg_pool3d(maps, size)
    return mix_along_axes(maps, lambda each: functional.adaptive_avg_pool1d(each, size))


def repeat_nearest(maps: Tensor, size: int) -> Tensor:
    """`interpolate` by the nearest voxel: (B, C, x, y, z) → (B, C, size, size, size)."""
    if maps.device.type == "cpu":
        return functional.interpolate(maps, size=(size,) * 3, mode="nearest")
    return mix_along_axes(maps, lambda each: functional.interpolate(each, size, mode="nearest"))


class MeanPool3d(nn.AvgPool3d):
    """`nn.AvgPool3d` of cubes."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu":
            return super().forward(x)
        return mix_along_axes(x, lambda each: functional.avg_pool1d(each, self.kernel_size, self.stride, self.padding))


class MaxPool3d(nn.MaxPool3d):
    """`nn.MaxPool3d` of cubes; on a GPU voxels that are equally great share the gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.device.type == "cpu" else self.along_axes(x)

    def along_axes(self, x: Tensor) -> Tensor:
        """The maxima along one axis after the other."""
        size, stride, padding = int(self.kernel_size), int(self.stride), int(self.padding)  # type: ignore[arg-type]
        x = functional.pad(x, (padding,) * 6, value=-torch.inf)
        for axis in _AXES:
            x = x.unfold(axis, size, stride).amax(-1)
        return x


def mix_along_axes(maps: Tensor, pool: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a linear operation on (1, channels, positions) along each of the last three axes, as matrix products."""
    for axis in _AXES:
        identity = torch.eye(maps.shape[axis], device=maps.device, dtype=maps.dtype)
        maps = torch.tensordot(maps, pool(identity[None])[0], dims=([axis], [0])).movedim(-1, axis)
    return maps
