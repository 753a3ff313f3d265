"""Building blocks of the CNN heads."""

import torch
from torch import nn

GROUPS = 8  # GroupNorm: its statistics are each scan's own, so none travel and a batch of one scan is fine


def conv_norm(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Conv3d without bias ('same' padding), then GroupNorm: (B, in, D, H, W) → (B, out, D/stride, …)."""
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
        nn.GroupNorm(GROUPS, out_channels),
    )


def conv_norm_gelu(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """`conv_norm`, then GELU."""
    return conv_norm(in_channels, out_channels, kernel, stride).append(nn.GELU())


class ResidualBlock(nn.Module):
    """Two 3×3×3 convolutions in parallel with an identity path: x ↦ GELU(x + N(C(GELU(N(C(x)))))), shape unchanged.

    The basic block of He et al. 2016 (arXiv:1512.03385, fig. 2) with GroupNorm and GELU.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_norm_gelu(channels, channels, 3)
        self.second = conv_norm(channels, channels, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.gelu(x + self.second(self.first(x)))


def mean_classifier(channels: int, outputs: int) -> nn.Sequential:
    """Mean over all positions, then a linear layer: (B, channels, D, H, W) → (B, outputs)."""
    return nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(channels, outputs))
