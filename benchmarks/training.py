"""What the prefix cache is worth: rounds of training that read it beside rounds that encode every scan anew.

    python benchmarks/training.py [--json]

Both sides train the same head or adapters by the same code on the same scans, with the same fast encoder, ViT-B with
random weights; they differ in whether the prefix is read or computed. They take turns in one process, batch by batch
(a batch is encoded into the cache, trained from it, then trained without), and the best time of each batch over all
turns counts, so that other work on the machine harms both alike. CPU seconds of the process stand beside wall
seconds. Scans are noise: time does not depend on what is in them. Ten rounds are ten times the round, beside one
filling of the cache and ten times the cached round. With `--json` the last line is one JSON object.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.models.assembly import assemble
from fedtune3d.models.encoders.contract import InputSpec
from fedtune3d.models.tuning import Frozen, Lora, Tuning, read_state
from fedtune3d.training.dataset import FeatureSet, LabelledScan, ScanSet, open_scans, read_view
from fedtune3d.training.features import FeatureCache
from fedtune3d.training.local import LocalRound, train_locally
from fedtune3d.training.prefix import Prefix
from fedtune3d.training.settings import TrainingSettings

BATCH_SIZE = 8
TARGETS = {"cached_round_ratio": 25.0, "ten_rounds_ratio": 6.0, "lora_epoch_ratio": 3.0}


@dataclass(frozen=True)
class Seconds:
    """Wall time, and CPU time of all threads of this process."""

    wall: float
    cpu: float

    @staticmethod
    def now() -> "Seconds":
        """Both clocks."""
        return Seconds(time.perf_counter(), time.process_time())

    def __add__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.wall - other.wall, self.cpu - other.cpu)

    def __mul__(self, factor: float) -> "Seconds":
        return Seconds(self.wall * factor, self.cpu * factor)

    def least(self, *others: "Seconds") -> "Seconds":
        """The smallest of each clock."""
        return Seconds(min(one.wall for one in (self, *others)), min(one.cpu for one in (self, *others)))


class EncodingSet(FeatureSet):
    """The same scans without a cache: what the prefix gives is computed each time that it is asked for."""

    def __init__(self, scans: Sequence[LabelledScan], prefix: Prefix) -> None:
        super().__init__([[]] * len(scans), [scan.label for scan in scans], prefix.end)
        self.scans, self.prefix = scans, prefix

    def inputs(self, indices: Sequence[int], views: Sequence[int]) -> torch.Tensor:
        """As `FeatureSet.inputs` gives it, narrowed to float16 as the cache narrows it."""
        given = [self.prefix.encode(read_view(self.scans[index], InputSpec(), 0, None, 0)).half() for index in indices]
        self.prefix.model.train()
        return torch.stack(given).float()

    def draw_views(self, count: int, generator: torch.Generator) -> list[int]:
        """The scan itself, always."""
        return [0] * count


class OneBatch(ScanSet):
    """A batch of another set as a set of its own."""

    def __init__(self, whole: ScanSet, start: int) -> None:
        self.whole, self.start = whole, start
        super().__init__(whole.labels[start : start + BATCH_SIZE].tolist(), whole.first_stage)

    def inputs(self, indices: Sequence[int], views: Sequence[int]) -> torch.Tensor:
        """Those of the whole set."""
        return self.whole.inputs([self.start + index for index in indices], views)

    def draw_views(self, count: int, generator: torch.Generator) -> list[int]:
        """Those of the whole set."""
        return [0] * count


@dataclass(frozen=True)
class Comparison:
    """A round with the cache, a round without, and filling the cache once."""

    cached: Seconds
    uncached: Seconds
    encoding: Seconds


def compare(tuning: Tuning, head: str, scans: Sequence[LabelledScan], repeats: int, folder: Path) -> Comparison:
    """Time both sides of a round over `scans`, and the first encoding."""
    assembled = assemble("vit_b", "random", head, tuning, seed=1)
    model, answer = assembled.model, assembled.trainable
    prefix = Prefix(model, answer)
    settings = TrainingSettings(batch_size=BATCH_SIZE)
    anew = EncodingSet(scans, prefix)
    best: dict[str, list[Seconds]] = {side: [] for side in ("encoding", "cached", "uncached")}
    for turn in range(repeats):
        cache = FeatureCache(folder / str(turn))
        for number, first in enumerate(range(0, len(scans), BATCH_SIZE)):
            local_round = LocalRound(1, "A", turn + 1, repeats)
            batches: dict[str, ScanSet] = {"uncached": OneBatch(anew, first)}
            start = Seconds.now()
            batches["cached"] = open_scans(scans[first : first + BATCH_SIZE], prefix, cache, InputSpec())
            spent = {"encoding": Seconds.now() - start}
            for side in ("cached", "uncached"):
                start = Seconds.now()
                train_locally(assembled, read_state(model, answer), batches[side], settings, local_round)
                spent[side] = Seconds.now() - start
            for side, seconds in spent.items():
                best[side][number : number + 1] = [seconds.least(*best[side][number : number + 1])]
    total = {side: sum(seconds, Seconds(0, 0)) for side, seconds in best.items()}
    return Comparison(total["cached"], total["uncached"], total["encoding"])


def write_scans(folder: Path, count: int) -> list[LabelledScan]:
    """Prepared scans of noise."""
    scans = []
    for number in range(count):
        path = folder / f"scan{number}.npy"
        np.save(path, numpy_rng("scan", number).standard_normal((128, 128, 128), np.float32).astype(np.float16))
        scans.append(LabelledScan(path, number % 2, "A"))
    return scans


def ratios(frozen: Comparison, lora: Comparison) -> dict[str, dict[str, float]]:
    """The rows of the table, by wall time and by CPU time."""
    ten_without, ten_with = frozen.uncached * 10, frozen.encoding + frozen.cached * 10
    return {
        "cached_round_ratio": _ratio(frozen.uncached, frozen.cached),
        "ten_rounds_ratio": _ratio(ten_without, ten_with),
        "lora_epoch_ratio": _ratio(lora.uncached, lora.cached),
    }


def _ratio(without: Seconds, with_cache: Seconds) -> dict[str, float]:
    return {"wall": without.wall / with_cache.wall, "cpu": without.cpu / with_cache.cpu}


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=64)
    parser.add_argument("--lora-scans", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=2, help="turns, of which the best time counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scans = write_scans(folder, max(options.scans, options.lora_scans))
        frozen = compare(Frozen(), "conv_s", scans[: options.scans], options.repeats, folder / "frozen")
        lora = compare(Lora(blocks="last:2"), "conv_s", scans[: options.lora_scans], options.repeats, folder / "lora")
    found = ratios(frozen, lora)
    print(f"{options.threads} threads, batch {BATCH_SIZE}; wall (CPU) seconds")
    for name, count, side in (
        ("CONV S on the frozen encoder", options.scans, frozen),
        ("LoRA in the last two blocks, CONV S", options.lora_scans, lora),
    ):
        print(f"{name}, {count} scans")
        for label, spent in (
            ("first encoding", side.encoding),
            ("a round, cached", side.cached),
            ("a round, encoding anew", side.uncached),
        ):
            print(f"  {label:24} {spent.wall:8.2f} ({spent.cpu:.2f})")
    for name, ratio in found.items():
        print(f"{name:20} {ratio['wall']:6.1f} (CPU {ratio['cpu']:.1f})   wanted {TARGETS[name]:.0f}")
    if options.json:
        values = {name: round(ratio["wall"], 2) for name, ratio in found.items()}
        values |= {f"{name}_cpu": round(ratio["cpu"], 2) for name, ratio in found.items()}
        print(json.dumps(values | {"scans": options.scans, "threads": options.threads, "repeats": options.repeats}))


if __name__ == "__main__":
    main()
