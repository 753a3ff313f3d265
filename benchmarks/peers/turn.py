"""One measure of `in_turns.py`, by the code of the tree that PYTHONPATH names (its `src` and `benchmarks`).

Called as: python turn.py MEASURE SCAN FOLDER TREE; the last line is a number. Only what both trees have is used.
"""

import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import yaml
from torch import nn

PROGRAM = [sys.executable, "-m", "fedtune3d"]
ROUNDS = 11


@dataclass(frozen=True)
class Place:
    """Where a measure finds things.

    Attributes:
        scan: A raw head.
        folder: Kept between the turns of a tree.
        tree: The tree.
    """

    scan: Path
    folder: Path
    tree: Path


def timed(run: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of a call."""
    began = clock()
    run()
    return clock() - began


def encoder() -> nn.Module:
    """ViT-B with weights that are all random."""
    from fedtune3d.models.encoders import build_encoder

    torch.set_num_threads(2)
    built = build_encoder("vit_b").eval()
    torch.manual_seed(0)
    for parameter in built.parameters():
        nn.init.normal_(parameter, std=0.02)
    return built


def forward(place: Place, batch: int, dtype: torch.dtype = torch.float32) -> float:
    """A forward pass of a batch of scans, the second."""
    model, scans = encoder(), torch.randn(batch, 1, 128, 128, 128)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        model(scans)
        return timed(lambda: model(scans))


def training_step(place: Place) -> float:
    """Forward and backward with all parameters, the second."""
    model, scan = encoder(), torch.randn(1, 1, 128, 128, 128)
    model(scan).sum().backward()
    model.zero_grad(set_to_none=True)
    return timed(lambda: model(scan).sum().backward())


def memory_of_a_step(place: Place) -> float:
    """MB of a training step above the weights."""
    model, scan = encoder(), torch.randn(1, 1, 128, 128, 128)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model(scan).sum().backward()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000


def epoch(place: Place, name: str, lora: bool, count: int) -> float:
    """An epoch of CONV S on cached features, the second."""
    from fedtune3d.models.assembly import assemble
    from fedtune3d.models.encoders.contract import InputSpec
    from fedtune3d.models.tuning import Frozen, Lora, read_state
    from fedtune3d.training.dataset import open_scans
    from fedtune3d.training.features import FeatureCache
    from fedtune3d.training.local import LocalRound, train_locally
    from fedtune3d.training.prefix import Prefix
    from fedtune3d.training.settings import TrainingSettings
    from training import write_scans

    torch.set_num_threads(1)
    assembled = assemble(name, "random", "conv_s", Lora(blocks="last:2") if lora else Frozen(), seed=1)
    model, trainable = assembled.model, assembled.trainable
    initial = {name: tensor.clone() for name, tensor in read_state(model, trainable).items()}
    settings = TrainingSettings(batch_size=8)
    with tempfile.TemporaryDirectory() as temporary:
        scans = write_scans(Path(temporary), count)
        data = open_scans(scans, Prefix(model, trainable), FeatureCache(Path(temporary, "cache")), InputSpec())
        train_locally(assembled, initial, data, settings, LocalRound(1, "A", 1, 1))
        return timed(lambda: train_locally(assembled, initial, data, settings, LocalRound(1, "A", 1, 1)))


def seconds_of_round(place: Place) -> float:
    """The median round after the first of a run in one process, by its ledger."""
    sites, run = place.folder / "sites", place.folder / "run"
    quiet = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if not sites.exists():
        quiet([*PROGRAM, "simulate", sites, "--sites", "4", "--scans", "120"])
    values = yaml.safe_load((sites / "experiment.yaml").read_text())
    values.pop("workers", None)
    values |= {"baselines": [], "threads": 1, "output": str(run), "model": {"encoder": "tiny", "head": "conv_s"}}
    values |= {"training": {"rounds": ROUNDS, "batch_size": 8}}
    (sites / "round.yaml").write_text(yaml.safe_dump(values))
    shutil.rmtree(run, ignore_errors=True)
    quiet([*PROGRAM, "run", sites / "round.yaml"])
    lines = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    return statistics.median(line["seconds"] for line in lines[1:ROUNDS])


def many_sites(place: Place, key: str) -> float:
    """A number that `scale.py` gives for 125 sites."""
    words = [sys.executable, place.tree / "benchmarks" / "scale.py", "--sites", "125", "--json"]
    output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return float(json.loads(output.splitlines()[-1])["rows"][0][key])


def preparation(place: Place) -> float:
    """CPU seconds of a raw head."""
    from fedtune3d.preparation.prepare_scan import prepare_scan
    from fedtune3d.preparation.template import load_template

    torch.set_num_threads(1)
    load_template(128, 1.5)
    prepare_scan(place.scan)
    return timed(lambda: prepare_scan(place.scan), time.process_time)


def start(place: Place) -> float:
    """The help of the command line."""
    return timed(lambda: subprocess.run([*PROGRAM, "--help"], check=True, stdout=subprocess.DEVNULL))


MEASURES: dict[str, Callable[[Place], float]] = {
    "encoder, float32, one scan": partial(forward, batch=1),
    "encoder, float32, four scans": partial(forward, batch=4),
    "encoder, bfloat16, four scans": partial(forward, batch=4, dtype=torch.bfloat16),
    "training step of the encoder": training_step,
    "memory of a training step, MB": memory_of_a_step,
    "epoch of CONV S, 64 scans": partial(epoch, name="tiny", lora=False, count=64),
    "epoch of LoRA in two blocks, 16 scans": partial(epoch, name="vit_b", lora=True, count=16),
    "a round in one process": seconds_of_round,
    "a round of 125 sites that do not train, CPU s": partial(many_sites, key="cpu_seconds_a_round"),
    "its memory, MB": partial(many_sites, key="megabytes_above_baseline"),
    "preparation of a raw head, CPU s": preparation,
    "start of --help": start,
}

if __name__ == "__main__":
    print(MEASURES[sys.argv[1]](Place(*map(Path, sys.argv[2:]))))
