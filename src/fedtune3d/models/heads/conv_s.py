"""CONV S, the small CNN adapter."""

from collections import OrderedDict

from torch import nn

from fedtune3d.models.heads._blocks import conv_norm_gelu, mean_classifier

MIN_POSITIONS = 4
"""Its convolutions look at neighbours and halve the map."""


def build(in_channels: int, outputs: int) -> nn.Module:
    """A small CNN adapter; 1.71 M parameters on 384 channels.

    A 1×1×1 convolution to fewer channels comes first, so that the 3×3×3 ones cost little. The study (arXiv 2508.21458)
    gives the size, about 1.7 M, but no layout: the layout and GroupNorm are our choice (drawn in docs/heads.md).
    """
    return nn.Sequential(
        OrderedDict(
            reduce=conv_norm_gelu(in_channels, 128, 1),
            halve=conv_norm_gelu(128, 192, 3, stride=2),
            refine=conv_norm_gelu(192, 192, 3),
            classify=mean_classifier(192, outputs),
        )
    )
