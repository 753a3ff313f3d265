"""Memory and time of the round loop over many sites: an averaging rule holds one state, whatever their number.

Sites answer at once with a state of CONV S's size (1.7 M parameters, 6.8 MB) plus noise, so what is timed is all that a
round costs beside training: checking, spooling to disk, folding.

    python benchmarks/scale.py [--sites 125 250 500 1000] [--rule fedavg] [--json]
"""

import argparse
import json
import multiprocessing
import tempfile
import threading
import time
from pathlib import Path

import psutil
import torch

from fedtune3d._utils.seeds import torch_rng
from fedtune3d.aggregation.contract import RuleContext
from fedtune3d.aggregation.registry import build_rule
from fedtune3d.aggregation.site_step import STATE
from fedtune3d.federation.in_process import InProcess
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.federation.round_settings import RoundSettings
from fedtune3d.federation.round_state import RoundsFolder
from fedtune3d.federation.rounds import run_rounds
from fedtune3d.federation.tasks.score import ScoreAnswer
from fedtune3d.federation.tasks.train import TrainAnswer
from fedtune3d.training.scores import Scores

PARAMETERS = 1_709_442
ROUNDS = 2


class Echo:
    """A simulated site: the state that it received, and noise of its own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def answer(self, task: Task) -> Answer:
        """An answer without training."""
        received = Scores(auc=None, balanced_accuracy=None, loss=0.7, examples=1, why="one class only")
        if task.kind == "score":
            return Answer(self.name, ScoreAnswer(received=received))
        weight = task.parts[STATE]["weight"]
        noise = torch.randn(weight.shape, generator=torch_rng(self.name, task.round))
        payload = TrainAnswer(examples=1 + len(self.name) % 3, loss=0.7, received=received)
        return Answer(self.name, payload, {STATE: {"weight": weight + 0.01 * noise}})


class PeakMemory:
    """The most resident memory of this process while a block runs, sampled every 5 ms."""

    def __enter__(self) -> "PeakMemory":
        self.process, self.done = psutil.Process(), threading.Event()
        self.baseline = self.peak = self.process.memory_info().rss
        self.thread = threading.Thread(target=self._sample)
        self.thread.start()
        return self

    def _sample(self) -> None:
        while not self.done.wait(0.005):
            self.peak = max(self.peak, self.process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()


def measure(rule: str, sites: int) -> dict[str, float]:
    """Peak memory above the baseline, and seconds a round (waiting included, and of this process alone)."""
    torch.set_num_threads(1)
    federation = InProcess({f"site-{number:04d}": Echo(f"site-{number:04d}") for number in range(sites)})
    initial = {"weight": torch.zeros(PARAMETERS)}
    with tempfile.TemporaryDirectory() as folder, PeakMemory() as memory:
        began, began_cpu = time.perf_counter(), time.process_time()
        run_rounds(
            federation,
            build_rule(rule),
            RoundsFolder(Path(folder)),
            RoundSettings(rounds=ROUNDS),
            initial,
            RuleContext(sites=federation.sites),
        )
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
    return {
        "sites": sites,
        "megabytes_above_baseline": (memory.peak - memory.baseline) / 1e6,
        "seconds_a_round": seconds / ROUNDS,
        "cpu_seconds_a_round": cpu_seconds / ROUNDS,
    }


def main() -> None:
    """Measure each number of sites in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, nargs="+", default=[125, 250, 500, 1000])
    parser.add_argument("--rule", default="fedavg")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    arguments = parser.parse_args()
    print(f"rule {arguments.rule}, simulated sites that do not train, a state of {PARAMETERS * 4 / 1e6:.1f} MB")
    print(f"{'sites':>6} {'MB above baseline':>18} {'s a round':>10} {'CPU s a round':>14} {'CPU ms a site':>14}")
    rows = []
    for sites in arguments.sites:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(measure, (arguments.rule, sites)))
        row = rows[-1]
        each = 1000 * row["cpu_seconds_a_round"] / sites
        print(
            f"{sites:6d} {row['megabytes_above_baseline']:18.0f} {row['seconds_a_round']:10.1f} "
            f"{row['cpu_seconds_a_round']:14.1f} {each:14.1f}",
            flush=True,
        )
    if arguments.json:
        print(json.dumps({"rule": arguments.rule, "state_bytes": PARAMETERS * 4, "rows": rows}))


if __name__ == "__main__":
    main()
