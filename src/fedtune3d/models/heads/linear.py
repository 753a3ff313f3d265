"""Linear, the smallest head: pooled features → two logits."""

from torch import nn

from fedtune3d.models.heads._blocks import mean_classifier


def build(in_channels: int) -> nn.Module:
    """Mean over the positions, then one linear layer; 770 parameters on 384 channels."""
    return mean_classifier(in_channels)
