"""One run on one machine with several workers: seconds per round and of the local baseline, against one process.

    python benchmarks/workers.py FOLDER [--workers 2] [--runs 3] [--rounds 4] [--scans 200] [--json]

The job is that of `engines.py`: four simulated sites, CONV S on cached features, one thread per site. The first round
of each run is left out. Next to each time is its floor, from what the same run showed:

- serial: what of a round in one process is neither training nor validation, and is done by the process that asks;
- share: the part of the training and validation that the busiest worker has, as sites stay whole;
- slowdown: how much longer a training loop takes when as many others as there are workers run at the same time, because
  cores share caches and memory.

Floor of a round = (round in one process − serial) · share · slowdown + serial.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engines import PEERS, Job, in_process, plain_loop, spread
from fedtune3d._utils.progress import Advance
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.workers.assignment import assign_sites
from fedtune3d.workflows.run import run_experiment

FEDERATED, LOCAL = "rounds (fedavg)", "rounds (baseline: local)"


class Steps:
    """Notes when each step of a progress bar was done."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    @contextmanager
    def bar(self, text: str) -> Iterator[Advance]:
        """Note the steps of a bar."""
        times = self.times.setdefault(text, [])
        yield lambda done, total: times.append(time.perf_counter())

    def note(self, text: str) -> None:
        """Ignore the line."""


def measure(path: Path, workers: int) -> None:
    """Run an experiment in this process; print the seconds per round, and of the local baseline, as JSON."""
    experiment, steps = Experiment.from_yaml(path).model_copy(update={"workers": workers}), Steps()
    run_experiment(experiment, progress=steps, report=False)
    rounds, local = steps.times[FEDERATED], steps.times[LOCAL]
    sites = len(experiment.sites)
    per_round = (rounds[-1] - rounds[1]) / (experiment.training.rounds - 1)
    print(json.dumps({"round": per_round, "local": local[-1] - local[sites]}))


@dataclass(frozen=True)
class Times:
    """Seconds of a run: per federated round, and of the local baseline without its first round."""

    round: float
    local: float

    @classmethod
    def of(cls, job: Job, workers: int) -> "Times":
        """Run with a number of workers."""
        name = f"workers-{workers}"
        path = job.write(name, with_roots=True)
        words = [sys.executable, Path(__file__), "measure", path, "--workers", workers]
        values = json.loads(job.run(name, *words).splitlines()[-1])
        return cls(values["round"], values["local"])


def share_of_the_busiest(job: Job, workers: int) -> float:
    """The part of all scans that the busiest worker has."""
    sizes = {name: len((root / "participants.tsv").read_text().splitlines()) - 1 for name, root in job.roots.items()}
    holders = assign_sites(sizes, workers)
    held = [sum(size for site, size in sizes.items() if holders[site] == worker) for worker in range(workers)]
    return max(held) / sum(sizes.values())


def slowdown(job: Job, at_once: int) -> float:
    """How much longer a plain training loop takes next to others."""
    alone = plain_loop(job).round
    times = [job.folder / f"times-{number}" for number in range(at_once)]
    for path in times:
        path.unlink(missing_ok=True)
    words = [sys.executable, PEERS / "plain_loop.py", job.reference]
    processes = [job.start(f"at-once-{path.name}", *words, path) for path in times]
    for process in processes:
        if process.wait():
            sys.exit(f"a plain loop failed; see the logs in {job.folder}")
    ends = [[float(line) for line in path.read_text().splitlines()] for path in times]
    together = [(end[-1] - end[0]) / (job.rounds - 1) for end in ends]
    return statistics.mean(together) / alone


def main() -> None:
    """Run all and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--scans", type=int, default=200, help="of each site")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    job = Job(options.folder.resolve(), options.scans, options.rounds)
    in_process(job)  # prepares, splits and encodes
    parts = in_process(job)
    serial = parts.rest
    job.values["baselines"] = ["local"]
    share, slow = share_of_the_busiest(job, options.workers), slowdown(job, options.workers)
    one, several = [], []
    for run in range(options.runs):
        one.append(Times.of(job, 1))
        several.append(Times.of(job, options.workers))
        print(f"run {run + 1}: {one[-1].round:.2f} and {several[-1].round:.2f} s per round", flush=True)
    print_table(one, several, options.workers, serial, share, slow)
    if options.json:
        print(as_json(one, several, options.workers, serial, share, slow))


def floor_of(seconds: float, serial: float, share: float, slow: float) -> float:
    """The least that several workers can take for what takes one process so many seconds."""
    return (seconds - serial) * share * slow + serial


def print_table(one: list[Times], several: list[Times], workers: int, serial: float, share: float, slow: float) -> None:
    """For people."""
    print(f"Seconds, median (least to most) of {len(one)} runs; floor: serial {serial:.3f} s per round, the busiest ")
    print(f"worker has {share:.1%}, {workers} training loops at once take {slow:.2f} times as long as one")
    for name, field in (("federated round", "round"), ("local baseline", "local")):
        before, now = ([getattr(times, field) for times in runs] for runs in (one, several))
        least = floor_of(statistics.median(before), serial, share, slow)
        ratios = [first / second for first, second in zip(before, now, strict=True)]
        print(
            f"  {name:16} one process {spread(before)}   {workers} workers {spread(now)}   floor {least:.2f}   "
            f"faster by {spread(ratios)}"
        )


def as_json(one: list[Times], several: list[Times], workers: int, serial: float, share: float, slow: float) -> str:
    """For programs."""
    return json.dumps(
        {
            "workers": workers,
            "serial_seconds": round(serial, 4),
            "share_of_the_busiest": round(share, 4),
            "slowdown_at_once": round(slow, 4),
            "one_process": [{"round": round(times.round, 3), "local": round(times.local, 3)} for times in one],
            "with_workers": [{"round": round(times.round, 3), "local": round(times.local, 3)} for times in several],
        }
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(Path(sys.argv[2]), int(sys.argv[4]))
    else:
        main()
