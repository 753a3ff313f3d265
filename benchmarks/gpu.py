"""What a GPU makes of ViT-B: scans per second, the share of its measured rates, peak memory, and the price of the bits.

    python benchmarks/gpu.py [--json]

Weights and scans are random. Encoding is what a run does: one scan after another, as recorded kernels; beside it
stand the same kernels launched one by one, and a batch of 16. A training step is forward and backward for all
parameters or for LoRA's, on batches of 1 and 8, in float32, as a run computes it, and in bfloat16. The arithmetic is
that of `encoder.py`; its share is of a product of two 8192² matrices in bfloat16, and of 4096² in float32, in the same
process. The last rows repeat float32 steps with PyTorch's default kernels, which do not give the same bits each time.
Times are the best of three. With `--json` the last line is one JSON object. Needs a GPU.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from fedtune3d._utils.gpu import compute_exactly
from fedtune3d._utils.seeds import torch_rng
from fedtune3d.models.assembly import AssembledModel, assemble
from fedtune3d.models.tuning import Frozen, Full, Lora, Tuning
from fedtune3d.training.prefix import Prefix
from fedtune3d.training.settings import Precision

GPU = torch.device("cuda")
GFLOP_FORWARD = 104.1  # as in encoder.py
HEAD = ("what", "precision", "scans/s", "of the bfloat16 rate", "of the float32 rate", "peak, GB")
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


@dataclass(frozen=True)
class Measured:
    """A row of the table.

    Attributes:
        what: What was measured.
        precision: Of the products.
        scans_per_second: Scans over the best time.
        share_bfloat16: Of the measured bfloat16 rate.
        share_float32: Of the measured float32 rate.
        peak_bytes: Most memory that PyTorch held, weights and scans included.
    """

    what: str
    precision: str
    scans_per_second: float
    share_bfloat16: float
    share_float32: float
    peak_bytes: int


def best_seconds(run: Callable[[], object], repeats: int = 3, inner: int = 4) -> float:
    """The best mean time of `inner` runs, after a warm-up."""
    best = math.inf
    for turn in range(repeats + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(inner):
            run()
        torch.cuda.synchronize()
        if turn:
            best = min(best, (time.perf_counter() - start) / inner)
    return best


def matrix_rate(size: int, dtype: torch.dtype) -> float:
    """TFLOP/s of a product of two square matrices."""
    x, y = (torch.randn(size, size, device=GPU, dtype=dtype) for _ in range(2))
    return 2 * size**3 / best_seconds(lambda: x @ y) / 1e12


class Bench:
    """Measures rows against the rates of this GPU."""

    def __init__(self) -> None:
        self.bfloat16 = matrix_rate(8192, torch.bfloat16)
        self.float32 = matrix_rate(4096, torch.float32)
        self.rows: list[Measured] = []
        self.scans = torch.randn(16, 1, 128, 128, 128, generator=torch_rng("scans")).to(GPU)

    def add(self, what: str, precision: str, scans: int, passes: int, run: Callable[[], object]) -> None:
        """Time a run of so many scans, each worth so many forward passes, and print its line."""
        torch.cuda.empty_cache()
        run()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        seconds = best_seconds(run)
        rate = scans * passes * GFLOP_FORWARD / seconds / 1e3
        peak = torch.cuda.max_memory_allocated()
        row = Measured(what, precision, scans / seconds, rate / self.bfloat16, rate / self.float32, peak)
        self.rows.append(row)
        shares = f"{row.share_bfloat16:.1%} | {row.share_float32:.0%}"
        print(f"| {what} | {precision} | {row.scans_per_second:.0f} | {shares} | {peak / 1e9:.1f} |", flush=True)

    def encode(self, assembled: AssembledModel) -> None:
        """Encoding by recorded kernels, by single ones, and in a batch."""
        voxels, model = self.scans[0].cpu(), assembled.model.eval()
        for precision in PRECISIONS:
            prefix = Prefix(model, assembled.trainable, precision)
            self.add("encoding, as a run does it", precision, 1, 1, lambda prefix=prefix: prefix.encode(voxels))
            for batch in (1, 16):
                what = f"forward, kernel by kernel, batch {batch}"
                run = lambda n=batch, p=precision: forward(model, self.scans[:n], p)  # noqa: E731
                self.add(what, precision, batch, 1, run)

    def train(self, name: str, tuning: Tuning, note: str = "", precisions: tuple[Precision, ...] = PRECISIONS) -> None:
        """Steps without the optimiser."""
        model = assemble("vit_b", "random", "linear", tuning, seed=1).model.to(GPU).train()
        for precision in precisions:
            for batch in (1, 8):
                run = lambda n=batch, p=precision: step(model, self.scans[:n], p)  # noqa: E731
                self.add(f"training step, {name}, batch {batch}{note}", precision, batch, 3, run)


def forward(model: nn.Module, scans: Tensor, precision: Precision) -> Tensor:
    """The model's outputs, without gradients."""
    with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=precision == "bfloat16"):
        outputs: Tensor = model(scans)
        return outputs


def step(model: nn.Module, scans: Tensor, precision: Precision) -> None:
    """Forward and backward."""
    model.zero_grad(set_to_none=True)
    with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bfloat16"):
        outputs = model(scans)
    outputs.float().square().mean().backward()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    as_json = parser.parse_args().json
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks/gpu.py: PyTorch finds no GPU here")
    compute_exactly()
    bench = Bench()
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}; a matrix product ran at {bench.bfloat16:.0f}")
    print(f"TFLOP/s in bfloat16 and {bench.float32:.0f} in float32.\n")
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    bench.encode(_on_gpu(assemble("vit_b", "random", "linear", Frozen(), seed=1)))
    bench.train("full", Full())
    bench.train("LoRA", Lora())
    torch.use_deterministic_algorithms(False)
    bench.train("full", Full(), ", default kernels", ("float32",))
    if as_json:
        rows = [asdict(row) for row in bench.rows]
        rates = {"bfloat16_tflops": bench.bfloat16, "float32_tflops": bench.float32}
        print(json.dumps({"gpu": torch.cuda.get_device_name(), **rates, "rows": rows}))


def _on_gpu(assembled: AssembledModel) -> AssembledModel:
    assembled.model.to(GPU)
    return assembled


if __name__ == "__main__":
    main()
