"""Parts of a floor: the best of several turns, the rate of this machine, and the arithmetic of a network."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fedtune3d.models.linear import PRIVATE_OPERATOR, fast_linear

Runs = Mapping[str, Callable[[], object]]
Clock = Callable[[], float]
Shape = Sequence[int]
KINDS = ("float32_mkl", "float32_onednn", "bfloat16")


def best_seconds(runs: Runs, repeats: int, clock: Clock) -> dict[str, float]:
    """The best time of each run over `repeats` turns, all runs once a turn, after a warm-up turn."""
    seconds = dict.fromkeys(runs, math.inf)
    for turn in range(repeats + 1):
        for name, run in runs.items():
            start = clock()
            run()
            if turn:
                seconds[name] = min(seconds[name], clock() - start)
    return seconds


def matrix_rates(clock: Clock, kinds: Collection[str] = KINDS) -> dict[str, float]:
    """GFLOP/s of a product of 2048 × 768 by 768 × 3072 matrices: float32 by MKL and by oneDNN, and bfloat16."""
    x, weight = torch.randn(2048, 768), torch.randn(3072, 768)
    x16, weight16 = x.bfloat16(), weight.bfloat16()
    runs: Runs = {
        "float32_mkl": lambda: nn.functional.linear(x, weight),
        "float32_onednn": lambda: fast_linear(x, weight, None),
        "bfloat16": lambda: nn.functional.linear(x16, weight16),
    }
    with torch.inference_mode():
        seconds = best_seconds({kind: runs[kind] for kind in kinds}, 20, clock)
    return {name: 2 * 2048 * 768 * 3072 / 1e9 / value for name, value in seconds.items()}


def forward_gflop(network: Callable[[Tensor], object], scan: Tensor) -> float:
    """The products and convolutions of a forward pass in GFLOP; a multiplication and an addition are two.

    PyTorch counts them while the network runs; it is told of the operators that it does not know.
    """
    operator = getattr(torch.ops.mkldnn, PRIVATE_OPERATOR, None)
    more: dict[object, Callable[..., int]] = {
        torch.ops.aten.baddbmm_: lambda total, x, y, *rest, **out: 2 * math.prod(x) * y[-1],
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flop,
    }
    if operator is not None:
        more[operator] = lambda x, weight, *rest, **out: 2 * math.prod(x) * weight[0]
    counter: Any = FlopCounterMode(display=False, custom_mapping=more)
    with torch.no_grad(), counter:
        network(scan)
    return float(counter.get_total_flops()) / 1e9


def _attention_flop(q: Shape, k: Shape, v: Shape, *rest: object, **out: object) -> int:
    """The two products of attention: (…, n, c) by (…, m, c), and the weights by (…, m, d)."""
    return 2 * math.prod(q[:-1]) * k[-2] * (q[-1] + v[-1])
