"""Training on cached features: CONV S next to a plain PyTorch loop, and LoRA in the last two blocks, with their floors.

    python benchmarks/cached_training.py [--threads 1] [--repeats 5] [--json]

The features of random scans are in the cache before the clock starts. Both loops of CONV S read the same files, make
the same batches in the same order and end at the same loss; they take turns, and the best wall time of each counts.
The plain loop is what anybody would write: a DataLoader, `torch.optim.AdamW`, clipping, one loss per batch. Features of
the tiny encoder have the shape of ViT-B's; LoRA trains in ViT-B, with random weights.

The floor is the arithmetic of an epoch at the rate that this machine was seen to reach in the same run (oneDNN,
float32): CONV S takes 0.8 GFLOP a scan forward and backward, LoRA's two blocks with the neck 42 more (NOTES.md, "The
prefix cache"). With `--json` the last line is one JSON object.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from fedtune3d._utils.seeds import torch_rng
from fedtune3d._utils.state_dicts import State
from fedtune3d.models.assembly import AssembledModel, assemble
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders.contract import InputSpec
from fedtune3d.models.tuning import Frozen, Lora, Tuning, read_state
from fedtune3d.training.dataset import FeatureSet, LabelledScan, open_scans
from fedtune3d.training.features import FeatureCache, read_features
from fedtune3d.training.local import LocalRound, train_locally
from fedtune3d.training.prefix import Prefix
from fedtune3d.training.settings import TrainingSettings
from floors import best_seconds, matrix_rates
from training import BATCH_SIZE, write_scans

GFLOP_CONV_S, GFLOP_LORA = 0.8, 42.0
PRODUCT = "float32_onednn"
ROUND = LocalRound(1, "A", 1, 1)
SETTINGS = TrainingSettings(batch_size=BATCH_SIZE, class_weighted=False)


@dataclass(frozen=True)
class Epoch:
    """Wall seconds of an epoch, the floor of its arithmetic, and of the plain loop where there is one."""

    ours: float
    floor: float
    plain: float | None = None


class Features(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Cached features with their labels, as PyTorch's tutorials write it."""

    def __init__(self, data: FeatureSet) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return read_features(self.data.files[index][:1])[0], self.data.labels[index]


def plain_epoch(head: nn.Module, data: FeatureSet) -> float:
    """Train the head for one epoch; returns the mean loss."""
    order = torch.randperm(len(data), generator=torch_rng("epoch", ROUND.seed, ROUND.site, ROUND.round, 0)).tolist()
    loader = DataLoader(Features(data), batch_size=BATCH_SIZE, sampler=order)
    optimizer = torch.optim.AdamW(head.parameters(), lr=SETTINGS.head_learning_rate, weight_decay=SETTINGS.weight_decay)
    criterion, total = nn.CrossEntropyLoss(), 0.0
    head.train()
    for features, labels in loader:
        loss = criterion(head(features), labels)
        loss.backward()
        if SETTINGS.clip_norm is not None:
            nn.utils.clip_grad_norm_(head.parameters(), SETTINGS.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        total += loss.item() * len(labels)
    return total / len(data)


def opened(
    tuning: Tuning, encoder: str, scans: Sequence[LabelledScan], folder: Path
) -> tuple[AssembledModel, FeatureSet]:
    """A model with CONV S, and its scans with their features in the cache."""
    assembled = assemble(encoder, "random", "conv_s", tuning, seed=1)
    prefix = Prefix(assembled.model, assembled.trainable)
    data = open_scans(scans, prefix, FeatureCache(folder), InputSpec())
    assert isinstance(data, FeatureSet)
    return assembled, data


def conv_s(scans: Sequence[LabelledScan], repeats: int, folder: Path, gflops: float) -> Epoch:
    """Both loops in turn."""
    assembled, data = opened(Frozen(), "tiny", scans, folder)
    model = assembled.model
    assert isinstance(model, Classifier)
    initial: State = {name: tensor.clone() for name, tensor in read_state(model, assembled.trainable).items()}
    losses: dict[str, float] = {}

    def ours() -> None:
        losses["ours"] = train_locally(assembled, initial, data, SETTINGS, ROUND).loss or 0.0

    def plain() -> None:
        assembled.write(initial)
        losses["plain"] = plain_epoch(model.head, data)

    seconds = best_seconds({"ours": ours, "plain": plain}, repeats, time.perf_counter)
    if abs(losses["ours"] - losses["plain"]) > 1e-3:
        raise SystemExit(f"the two loops did not train the same: mean losses {losses}")
    return Epoch(seconds["ours"], GFLOP_CONV_S * len(scans) / gflops, seconds["plain"])


def lora(scans: Sequence[LabelledScan], repeats: int, folder: Path, gflops: float) -> Epoch:
    """An epoch of LoRA in the last two blocks, whose inputs are cached."""
    assembled, data = opened(Lora(blocks="last:2"), "vit_b", scans, folder)
    initial = {name: tensor.clone() for name, tensor in read_state(assembled.model, assembled.trainable).items()}

    def ours() -> None:
        train_locally(assembled, initial, data, SETTINGS, ROUND)

    seconds = best_seconds({"ours": ours}, repeats, time.perf_counter)["ours"]
    return Epoch(seconds, (GFLOP_LORA + GFLOP_CONV_S) * len(scans) / gflops)


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=128)
    parser.add_argument("--lora-scans", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5, help="turns of CONV S; LoRA takes two")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    before = matrix_rates(time.perf_counter, [PRODUCT])[PRODUCT]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scans = write_scans(folder, max(options.scans, options.lora_scans))
        gflops = max(before, matrix_rates(time.perf_counter, [PRODUCT])[PRODUCT])
        epochs = {
            "conv_s": conv_s(scans[: options.scans], options.repeats, folder / "conv_s", gflops),
            "lora": lora(scans[: options.lora_scans], 2, folder / "lora", gflops),
        }
    print(f"An epoch, {options.threads} threads, batch {BATCH_SIZE}, {gflops:.0f} GFLOP/s; wall seconds")
    for name, epoch in epochs.items():
        plain = "" if epoch.plain is None else f"   plain loop {epoch.plain:.3f} ({epoch.plain / epoch.ours:.2f} times)"
        print(f"  {name:8} {epoch.ours:.3f}   floor {epoch.floor:.3f} ({epoch.ours / epoch.floor:.2f} times){plain}")
    if options.json:
        found = {name: asdict(epoch) for name, epoch in epochs.items()}
        print(json.dumps(found | {"gflops": gflops, "threads": options.threads}))


if __name__ == "__main__":
    main()
