"""Linear, the smallest head: pooled features → a logit per class, or a number."""

from torch import nn

from fedtune3d.models.heads._blocks import mean_classifier


def build(in_channels: int, outputs: int) -> nn.Module:
    """Mean over the positions, then one linear layer; 770 parameters on 384 channels and for two classes."""
    return mean_classifier(in_channels, outputs)
