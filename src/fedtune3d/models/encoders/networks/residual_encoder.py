"""Blocks of nnU-Net's residual encoder, by the names of the package dynamic-network-architectures."""

from collections import OrderedDict

from torch import Tensor, nn

from fedtune3d.models.exact_pooling import MeanPool3d


def conv_norm_act(in_channels: int, channels: int, stride: int = 1) -> nn.Sequential:
    """A 3×3×3 convolution with bias, instance normalisation, leaky ReLU: (B, in, …) → (B, channels, …/stride)."""
    convolution = nn.Conv3d(in_channels, channels, 3, stride, padding=1)
    norm = nn.InstanceNorm3d(channels, affine=True)
    return nn.Sequential(OrderedDict(conv=convolution, norm=norm, nonlin=nn.LeakyReLU(inplace=True)))


def conv_norm(in_channels: int, channels: int, kernel: int, bias: bool) -> nn.Sequential:
    """A convolution of stride 1 and instance normalisation."""
    convolution = nn.Conv3d(in_channels, channels, kernel, padding=kernel // 2, bias=bias)
    return nn.Sequential(OrderedDict(conv=convolution, norm=nn.InstanceNorm3d(channels, affine=True)))


class ResidualBlock(nn.Module):
    """Block D of He et al. 2019 (arXiv 1812.01187): where the map is halved, the skip pools before it projects."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv_norm_act(in_channels, channels, stride)
        self.conv2 = conv_norm(channels, channels, 3, bias=True)
        skip: list[nn.Module] = [MeanPool3d(stride, stride)] if stride > 1 else []
        if in_channels != channels:
            skip.append(conv_norm(in_channels, channels, 1, bias=False))
        self.skip = nn.Sequential(*skip)
        self.nonlin2 = nn.LeakyReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        mapped: Tensor = self.nonlin2(self.conv2(self.conv1(x)) + self.skip(x))
        return mapped
