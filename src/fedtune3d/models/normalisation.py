"""Names in a state dict that belong to normalisation layers."""

from torch import nn

from fedtune3d.models.tuning.trainable import Trainable


def normalisation_names(model: nn.Module, trainable: Trainable) -> tuple[str, ...]:
    """The trained tensors of layers whose class says that they normalise (BatchNorm, GroupNorm, LayerNorm)."""
    layers = {name for name, module in model.named_modules() if "Norm" in type(module).__name__}
    return tuple(name for name in trainable.names if name.rpartition(".")[0] in layers)
