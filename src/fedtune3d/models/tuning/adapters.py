"""A LoRA-tuned encoder as files that others read: a PEFT adapter, or one plain encoder with the adapters merged in."""

import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import atomic_path
from fedtune3d._utils.folders import AdapterPaths
from fedtune3d._utils.state_dicts import State
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.tuning.fused_qkv import PARTS, SplitQkv, fuse_split_names
from fedtune3d.models.tuning.lora import import_peft

ADAPTER = "default"  # PEFT's name of a model's first adapter


def adapted_layers(model: Classifier) -> dict[str, Any]:
    """The encoder's layers that carry a LoRA adapter, by their name in the encoder; empty without LoRA."""
    return {name: layer for name, layer in model.encoder.named_modules() if hasattr(layer, "lora_A")}


def merge(model: Classifier) -> State:
    """The plain encoder's state (the names and shapes of the released checkpoint, on the CPU), adapters merged in.

    Without LoRA, this is the encoder's unchanged state. The model is not modified.
    """
    state = {
        name.replace(".base_layer.", "."): tensor.detach().to("cpu", copy=True)
        for name, tensor in model.encoder.state_dict().items()
        if ".lora_" not in name
    }
    for name, layer in adapted_layers(model).items():
        state[f"{name}.weight"] += layer.get_delta_weight(ADAPTER).detach().cpu()
    return fuse_split_names(model.encoder, state)


def save_adapter(model: Classifier, folder: Path) -> None:
    """Write the adapters in PEFT's format, for `peft.PeftModel.from_pretrained(encoder, folder)` on a plain encoder.

    The q, k and v adapters of a block become one adapter of its fused `qkv`, exactly: A stacked, B block-diagonal, the
    rank and alpha multiplied by their number. So they also go on any other encoder with the released names.

    Raises:
        InputError: If the model has no adapters, or its frozen weights carry residuals, which no adapter file can hold.
    """
    layers = adapted_layers(model)
    if not layers:
        raise InputError(f"{folder}: expected a model tuned with LoRA to write its adapters; this one has none")
    if any(hasattr(layer, "lora_frozen_weight") for layer in layers.values()):
        raise InputError(
            f"{folder}: exact LoRA averaging has changed the frozen weights, so the adapters alone are not the model; "
            "export it merged"
        )
    parts_in_qkv = len({name.rpartition(".")[2] for name in layers} & set(PARTS))
    tensors: State = {}
    for name, (down, up) in _checkpoint_factors(model, layers).items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = down.cpu().contiguous()
        tensors[f"base_model.model.{name}.lora_B.weight"] = up.cpu().contiguous()
    names = sorted({name.removeprefix("base_model.model.").rpartition(".lora_")[0] for name in tensors})
    with atomic_path(AdapterPaths(folder).weights) as partial:
        save_file(tensors, partial, metadata={"format": "pt"})
    _write_config(model.encoder.peft_config[ADAPTER], names, parts_in_qkv, folder)  # type: ignore[index]


def _checkpoint_factors(model: Classifier, layers: dict[str, Any]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """A and B of every adapted layer, by its name in the released checkpoint."""
    factors = {
        name: (layer.lora_A[ADAPTER].weight.detach(), layer.lora_B[ADAPTER].weight.detach())
        for name, layer in layers.items()
    }
    for name, module in model.encoder.named_modules():
        if isinstance(module, SplitQkv):
            factors[name] = _fuse_factors([factors.pop(f"{name}.{part}", None) for part in PARTS])
    return factors


def _fuse_factors(parts: list[tuple[torch.Tensor, torch.Tensor] | None]) -> tuple[torch.Tensor, torch.Tensor]:
    """A (n · rank, in) and B (3 · dim, n · rank) of the fused projection from those of its n adapted thirds."""
    adapted = [factors for factors in parts if factors is not None]
    dim, rank = adapted[0][1].shape
    up = adapted[0][1].new_zeros(3 * dim, rank * len(adapted))
    column = 0
    for third, factors in enumerate(parts):
        if factors is not None:
            up[third * dim : (third + 1) * dim, column : column + rank] = factors[1]
            column += rank
    return torch.cat([down for down, _ in adapted]), up


def _write_config(trained: Any, names: list[str], parts_in_qkv: int, folder: Path) -> None:
    """Write PEFT's ``adapter_config.json`` for the fused factors."""
    fused = {"qkv": parts_in_qkv} if parts_in_qkv else {}
    config = import_peft().LoraConfig(
        r=trained.r,
        lora_alpha=trained.lora_alpha,
        lora_dropout=trained.lora_dropout,
        target_modules=names,
        bias="none",
        rank_pattern={layer: trained.r * count for layer, count in fused.items()},
        alpha_pattern={layer: trained.lora_alpha * count for layer, count in fused.items()},
        inference_mode=True,
    )
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        config.save_pretrained(scratch)
        os.replace(AdapterPaths(Path(scratch)).config, AdapterPaths(folder).config)
