"""Residuals of exact LoRA averaging: the part of the averaged products that exceeds the rank of the adapters."""

import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.tuning.adapters import ADAPTER, adapted_layers

SUFFIX = f".lora_residual.{ADAPTER}.weight"


def write_residuals(model: Classifier, residuals: State) -> None:
    """Set adapted layers' frozen weights to the original plus the accumulated residual (FedEx-LoRA, arXiv:2410.09432).

    Writing the same residuals twice changes nothing: they are added to the weight as it was before the first writing.

    Args:
        model: A model tuned with LoRA.
        residuals: ``encoder.<layer>.lora_residual.default.weight`` → (out, in), for every adapted layer.

    Raises:
        InputError: If a name or a shape does not fit; nothing is then written.
    """
    layers = {f"encoder.{name}{SUFFIX}": layer for name, layer in adapted_layers(model).items()}
    if residuals.keys() != layers.keys():
        first = min(residuals.keys() ^ layers.keys())
        where = "is missing" if first in layers else "belongs to no adapted layer"
        raise InputError(
            f"residuals: expected one per adapted layer, but {first} {where}; use the tuning that wrote them"
        )
    for name, layer in layers.items():
        weight = layer.get_base_layer().weight
        if weight.shape != residuals[name].shape:
            raise InputError(f"residuals: {name}: expected {tuple(weight.shape)}, got {tuple(residuals[name].shape)}")
    with torch.no_grad():
        for name, layer in layers.items():
            weight = layer.get_base_layer().weight
            if not hasattr(layer, "lora_frozen_weight"):
                layer.register_buffer("lora_frozen_weight", weight.detach().clone(), persistent=False)
            weight.copy_(layer.lora_frozen_weight + residuals[name].to(weight))


def clear_residuals(model: Classifier) -> None:
    """Set adapted layers' frozen weights back to the original, for a state that has no residuals."""
    with torch.no_grad():
        for layer in adapted_layers(model).values():
            if hasattr(layer, "lora_frozen_weight"):
                layer.get_base_layer().weight.copy_(layer.lora_frozen_weight)
