"""CONV L, the large CNN adapter."""

from collections import OrderedDict

from torch import nn

from fedtune3d.models.heads._blocks import ResidualBlock, conv_norm_gelu, mean_classifier

MIN_POSITIONS = 4
"""Its convolutions look at neighbours and halve the map."""


def build(in_channels: int, outputs: int) -> nn.Module:
    """A large CNN adapter with residual blocks at 8³ and 4³; 6.93 M parameters on 384 channels.

    The study (arXiv 2508.21458) names a large adapter but gives no layout: this one is ours (drawn in docs/heads.md).
    """
    return nn.Sequential(
        OrderedDict(
            reduce=conv_norm_gelu(in_channels, 192, 1),
            refine=ResidualBlock(192),
            halve=conv_norm_gelu(192, 256, 3, stride=2),
            refine_half=ResidualBlock(256),
            classify=mean_classifier(256, outputs),
        )
    )
