"""LoRA factors in a state: pairs by PEFT's names, their products, and the error of averaging the factors.

An adapted weight is W = W₀ + R + s B A, with the frozen W₀, the residual R (only in `exact` and `restart`), the
scaling s = alpha / rank, A of shape (rank, in) named ``<x>.lora_A.<…>weight`` and B of shape (out, rank) named
``<x>.lora_B.<…>weight``. The residual, of shape (out, in), is in the state as ``<x>.lora_residual.<…>weight``, and the
product R + s B A is in a product state as ``<x>.lora_product.<…>weight``.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.contract import Update
from fedtune3d.aggregation.site_step import STATE

_FACTOR_A = re.compile(r"\.lora_A\.(?=(?:.+\.)?weight$)")


@dataclass(frozen=True)
class FactorPair:
    """The names of one adapted matrix's tensors."""

    a: str
    b: str
    residual: str
    product: str


def factor_pairs(state: State) -> list[FactorPair]:
    """Find the factor pairs in a state, sorted by name.

    Raises:
        InputError: If there are none, an A has no B of matching shape, or a factor is not a matrix.
    """
    pairs = []
    for name in sorted(state):
        if not _FACTOR_A.search(name):
            continue
        b, residual, product = (_FACTOR_A.sub(f".lora_{kind}.", name) for kind in ("B", "residual", "product"))
        if b not in state:
            raise InputError(f"{name}: expected the matching factor {b} in the state, got none")
        if state[name].dim() != 2 or state[b].dim() != 2 or state[name].shape[0] != state[b].shape[1]:
            shapes = f"{tuple(state[name].shape)} and {tuple(state[b].shape)}"
            raise InputError(f"{name}: expected factors of shapes (rank, in) and (out, rank), got {shapes}")
        pairs.append(FactorPair(name, b, residual, product))
    if not pairs:
        raise InputError("expected LoRA factors (….lora_A.…weight) in the trained state, got none; choose tuning lora")
    return pairs


def zero_residuals(state: State, pairs: Sequence[FactorPair]) -> State:
    """Create a zero residual for each pair, in the dtype of its A."""
    return {
        pair.residual: torch.zeros(state[pair.b].shape[0], state[pair.a].shape[1], dtype=state[pair.a].dtype)
        for pair in pairs
    }


def to_products(state: State, pairs: Sequence[FactorPair], scaling: float) -> State:
    """Replace each pair and its residual by the product R + s B A, in float64; a missing R counts as zero."""
    names = {name for pair in pairs for name in (pair.a, pair.b, pair.residual)}
    products = {name: tensor for name, tensor in state.items() if name not in names}
    for pair in pairs:
        product = scaling * (state[pair.b].double() @ state[pair.a].double())
        products[pair.product] = product + state[pair.residual].double() if pair.residual in state else product
    return products


def from_products(products: State, factors: State, pairs: Sequence[FactorPair], scaling: float) -> State:
    """Convert products back to the given factors and the residuals R = product − s B A."""
    state = {name: tensor for name, tensor in products.items() if name not in {pair.product for pair in pairs}}
    for pair in pairs:
        a, b = factors[pair.a], factors[pair.b]
        residual = products[pair.product].double() - scaling * (b.double() @ a.double())
        state |= {pair.a: a, pair.b: b, pair.residual: residual.to(a.dtype)}
    return state


def averaging_error(updates: Sequence[Update], weights: Mapping[str, float], pairs: Sequence[FactorPair]) -> float:
    """Compute ‖B̄ Ā − mean(B A)‖ / ‖mean(B A)‖ (Frobenius) over all pairs, where bars denote the same weighted mean.

    `updates` are in the order of their sites, and each is read once. Returns 0 if the mean product is zero.
    """
    mean_a: State = {}
    mean_b: State = {}
    mean_product: State = {}
    for update in updates:
        weight, received = weights[update.site], update.load(STATE)
        for pair in pairs:
            a, b = received[pair.a].double(), received[pair.b].double()
            for means, tensor in ((mean_a, a), (mean_b, b), (mean_product, b @ a)):
                means[pair.a] = means[pair.a].add_(tensor, alpha=weight) if pair.a in means else weight * tensor
    error = math.fsum(float((mean_b[name] @ mean_a[name] - mean).square().sum()) for name, mean in mean_product.items())
    total = math.fsum(float(mean.square().sum()) for mean in mean_product.values())
    return math.sqrt(error / total) if total > 0 else 0.0
