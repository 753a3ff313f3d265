"""The encoder of deepbet's LinkNet: a 3D ResNet with instance normalisation.

As in deepbet 1.0.2 (Fisch et al. 2024, doi:10.1016/j.compbiomed.2024.108845), which ships its network as TorchScript:
same parameters, names and outputs. Its convolutions have no bias and its norms no parameters.
"""

from collections import OrderedDict

from torch import Tensor, nn

from fedtune3d.models.exact_pooling import MaxPool3d

WIDTHS = (16, 32, 64, 128)
"""Channels after each residual stage, at strides 4, 8, 16 and 32."""


def stem(channels: int = WIDTHS[0]) -> nn.Sequential:
    """(B, 1, s, s, s) → (B, channels, s/4, s/4, s/4)."""
    return nn.Sequential(
        nn.Conv3d(1, channels, 7, stride=2, padding=3, bias=False),
        nn.InstanceNorm3d(channels),
        nn.ReLU(),
        MaxPool3d(3, stride=2, padding=1),
    )


class ResidualBlock(nn.Module):
    """Two convolutions with a skip connection, strided if the map is halved (He et al. 2016)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv3d(in_channels, channels, 3, stride, padding=1, bias=False),
            nn.InstanceNorm3d(channels),
            nn.ReLU(),
            nn.Conv3d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm3d(channels),
        )
        self.downsample = (
            nn.Sequential(nn.Conv3d(in_channels, channels, 1, stride, bias=False), nn.InstanceNorm3d(channels))
            if stride > 1
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        mapped: Tensor = (self.double_conv(x) + self.downsample(x)).relu()
        return mapped


def residual_stage(in_channels: int, channels: int) -> nn.Sequential:
    """Two residual blocks, the first of which halves the map unless it keeps the channels."""
    stride = 1 if in_channels == channels else 2
    first, second = ResidualBlock(in_channels, channels, stride), ResidualBlock(channels, channels, 1)
    return nn.Sequential(OrderedDict(block1=first, block2=second))
