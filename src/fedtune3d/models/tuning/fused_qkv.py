"""Splitting of a fused q, k, v projection into three layers, so that each can have its own adapter."""

import torch
from torch import nn

from fedtune3d._utils.state_dicts import State
from fedtune3d.models.linear import FastLinear

PARTS = ("q", "k", "v")


class SplitQkv(nn.Module):
    """A fused projection split into the layers `q`, `k` and `v`: (…, in) → (…, 3 · dim), as before the split."""

    def __init__(self, fused: nn.Linear) -> None:
        super().__init__()
        biases = fused.bias.chunk(3) if fused.bias is not None else (None, None, None)
        for part, weight, bias in zip(PARTS, fused.weight.chunk(3), biases, strict=True):
            linear = FastLinear(fused.in_features, weight.shape[0], bias=bias is not None, device="meta")
            linear.weight = nn.Parameter(weight.detach().clone())
            if bias is not None:
                linear.bias = nn.Parameter(bias.detach().clone())
            self.add_module(part, linear)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.get_submodule(part)(x) for part in PARTS], dim=-1)


def fuse_split_names(module: nn.Module, state: State) -> State:
    """`state` of `module` with the names and tensors of every `SplitQkv` in it put together as in the checkpoint."""
    fused = dict(state)
    for name, child in module.named_modules():
        if isinstance(child, SplitQkv):
            for kind in ("weight", "bias"):
                thirds = [fused.pop(f"{name}.{part}.{kind}") for part in PARTS if f"{name}.{part}.{kind}" in fused]
                if thirds:
                    fused[f"{name}.{kind}"] = torch.cat(thirds)
    return fused
