"""Speed and memory of the SAM-Med3D encoder beside the reference, `medim`'s `ImageEncoderViT3D`, with the same weights.

    python benchmarks/encoder.py [--json]

Both sides run in turn in one process, after a warm-up each, and the best time of each is compared; peak memory is
measured in a process of its own for each side. Weights are random, with relative positions and `qkv` biases of σ = 0.3.
With `--json` the last line is one JSON object. Needs the package's `test` extra and about 8 GB. On a machine that
others use too, `--processor-time --threads 1` compares processor seconds, which waiting for a core does not touch.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from medim.models.sam_med3d import ImageEncoderViT3D  # type: ignore[import-untyped]
from torch import Tensor, nn

from fedtune3d._utils.seeds import torch_rng
from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.encoders.contract import initialise_random
from fedtune3d.training.peak_memory import PeakMemory
from floors import Runs, best_seconds, matrix_rates

SIDES = ("reference", "ours")
GFLOP_FORWARD = 104.1  # 12 blocks of 8.05, patch embedding 3.2, neck 4.4; a multiplication and an addition are two

# Case: name of its ratio, forward passes of one scan that its arithmetic is worth, matrix product that sets its floor.
CASES = {
    "forward": ("forward_ratio", 1, "float32_onednn"),
    "forward, batch 4": ("forward_ratio_batch4", 4, "float32_onednn"),
    "bfloat16, batch 4": ("bfloat16_ratio", 4, "bfloat16"),
    "forward and backward": ("train_ratio", 3, "float32_onednn"),
}


def build(side: str) -> nn.Module:
    """ViT-B with the same random weights on either side."""
    encoder = build_encoder("vit_b")
    initialise_random(encoder, 0)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "rel_pos" in name or name.endswith("qkv.bias"):
                parameter.copy_(torch.randn(parameter.shape, generator=torch_rng("large", name)) * 0.3)
    if side == "ours":
        return encoder
    reference = ImageEncoderViT3D(
        img_size=128,
        out_chans=384,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=(2, 5, 8, 11),
    )
    reference.load_state_dict(encoder.state_dict())
    return reference


def scans(batch: int) -> Tensor:
    return torch.randn(batch, 1, 128, 128, 128, generator=torch_rng("scans"))


def forward(encoder: nn.Module, batch: Tensor) -> Tensor:
    with torch.inference_mode():
        return encoder(batch)


def forward_bfloat16(encoder: nn.Module, batch: Tensor) -> Tensor:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        return encoder(batch).float()


def train(encoder: nn.Module, batch: Tensor) -> None:
    """Forward and backward for all parameters."""
    encoder.zero_grad(set_to_none=True)
    encoder(batch).square().mean().backward()


def all_gradients(encoder: nn.Module, batch: Tensor) -> Tensor:
    """The gradients of all parameters as one vector."""
    train(encoder, batch)
    return torch.cat([parameter.grad.flatten() for parameter in encoder.parameters() if parameter.grad is not None])


def relative_error(ours: Tensor, reference: Tensor) -> float:
    return float((ours.double() - reference.double()).norm() / reference.double().norm())


def print_peak_memory(side: str) -> None:
    """Print the bytes of resident memory that one training step takes above the loaded weights."""
    encoder, batch = build(side), scans(1)
    memory = PeakMemory()
    memory.begin(torch.device("cpu"))
    train(encoder, batch)
    print(memory.peak_bytes())


def peak_memory(side: str, threads: int) -> float:
    command = [sys.executable, __file__, "--peak-memory", side, "--threads", str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def compare_times(repeats: int, clock: Callable[[], float]) -> dict[str, dict[str, float]]:
    """Best seconds by case and side."""
    encoders, one, four = {side: build(side) for side in SIDES}, scans(1), scans(4)
    run_one: Runs = {side: partial(forward, encoder, one) for side, encoder in encoders.items()}
    run_four: Runs = {side: partial(forward, encoder, four) for side, encoder in encoders.items()} | {
        "bfloat16": partial(forward_bfloat16, encoders["ours"], four)
    }
    training: Runs = {side: partial(train, encoder, one) for side, encoder in encoders.items()}
    at_four = best_seconds(run_four, repeats, clock)
    return {
        "forward": best_seconds(run_one, repeats, clock),
        "forward, batch 4": {side: at_four[side] for side in SIDES},
        "bfloat16, batch 4": {"reference": at_four["reference"], "ours": at_four["bfloat16"]},
        "forward and backward": best_seconds(training, repeats, clock),
    }


def compare_values() -> dict[str, float]:
    encoders, one = {side: build(side) for side in SIDES}, scans(1)
    features = {side: forward(encoder, one) for side, encoder in encoders.items()}
    gradients = {side: all_gradients(encoder, one) for side, encoder in encoders.items()}
    return {
        "relative_error": relative_error(features["ours"], features["reference"]),
        "gradient_relative_error": relative_error(gradients["ours"], gradients["reference"]),
        "bfloat16_relative_error": relative_error(forward_bfloat16(encoders["ours"], one), features["reference"]),
    }


def measure(repeats: int, threads: int, clock: Callable[[], float]) -> dict[str, float]:
    """All numbers, flat; printed as a table."""
    before = matrix_rates(clock)
    memory = {side: peak_memory(side, threads) for side in SIDES}
    values, times = compare_values(), compare_times(repeats, clock)
    rates = {name: max(rate, before[name]) for name, rate in matrix_rates(clock).items()}
    result = {**values, "memory_ratio": memory["reference"] / memory["ours"], "threads": threads}
    print(f"{'':22}{'reference':>12}{'ours':>12}{'ratio':>9}{'floor':>12}")
    for case, (name, scans_worth, product) in CASES.items():
        reference, ours = times[case]["reference"], times[case]["ours"]
        floor = GFLOP_FORWARD * scans_worth / rates[product]
        print(f"{case:22}{reference:10.2f} s{ours:10.3f} s{reference / ours:9.1f}{floor:10.3f} s")
        result |= {name: reference / ours, f"{name}_seconds": ours, f"{name}_reference_seconds": reference}
        result[f"{name}_floor_seconds"] = floor
    print(
        f"{'peak memory':22}{memory['reference'] / 1e6:9.0f} MB{memory['ours'] / 1e6:9.0f} MB"
        f"{result['memory_ratio']:9.1f}   (forward and backward, above the weights)"
    )
    for name, value in values.items():
        print(f"{name:30}{value:.1e}")
    for name, rate in rates.items():
        print(f"matrix product, {name:14}{rate:6.0f} GFLOP/s")
        result[f"gflops_{name}"] = rate
    print(f"floor: {GFLOP_FORWARD} GFLOP a scan, three times that with the backward pass; {threads} threads")
    return result | {f"{side}_peak_bytes": value for side, value in memory.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    parser.add_argument("--repeats", type=int, default=3, help="turns of which the best counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processor-time", action="store_true", help="compare processor time instead of wall time")
    parser.add_argument("--peak-memory", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak_memory:
        print_peak_memory(arguments.peak_memory)
        return
    clock = time.process_time if arguments.processor_time else time.perf_counter
    result = measure(arguments.repeats, arguments.threads, clock)
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
