"""Linear layers by the quickest float32 matrix product that PyTorch carries for the CPU."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

PRIVATE_OPERATOR = "_linear_pointwise"


def fast_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`functional.linear`, by oneDNN where the product is float32 on a CPU and PyTorch has the operator.

    PyTorch leaves float32 products to MKL, which on two cores of an AMD EPYC (Zen 4) ran at 140 to 195 GFLOP/s where
    oneDNN ran at 205 to 225. The operator is private: it is the one that `torch.compile` calls, and has no gradient of
    its own. Without it, the public function serves.
    """
    if not _suits_onednn(x, weight, bias):
        return functional.linear(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1])
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias)):
        product: Tensor = _OneDnnLinear.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
        return product.view(*x.shape[:-1], -1)
    return _product(rows, weight, bias).view(*x.shape[:-1], -1)


class FastLinear(nn.Linear):
    """`nn.Linear` by `fast_linear`: same parameters, same values."""

    def forward(self, x: Tensor) -> Tensor:
        return fast_linear(x, self.weight, self.bias)


def _suits_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    return (
        x.dtype == weight.dtype == torch.float32
        and x.device.type == weight.device.type == "cpu"
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, PRIVATE_OPERATOR)
    )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x · weightᵀ + bias of matrices with any strides."""
    product: Tensor = getattr(torch.ops.mkldnn, PRIVATE_OPERATOR)(x, weight, bias, "none", [], "")
    return product


class _OneDnnLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        needs_x, needs_weight, _ = ctx.needs_input_grad
        ctx.save_for_backward(x if needs_weight else None, weight if needs_x else None)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            _product(gradient, weight.t()) if needs_x else None,
            _product(gradient.t(), x.t()) if needs_weight else None,
            gradient.sum(0) if needs_bias else None,
        )
