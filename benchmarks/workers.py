"""One run on one machine with several workers: seconds per round and of the local baseline, against one process.

    python benchmarks/workers.py FOLDER [--workers 2] [--runs 3] [--rounds 4] [--scans 200] [--json]

The job is that of `engines.py`: four simulated sites, CONV S on cached features, one thread per site. The first round
of each run is left out. Two times are given:

- wall: as a user waits, on a machine that does nothing else;
- CPU: of the busiest worker and of the process that asks, which is more than the longest chain of steps, as that
  process also works while workers train. Compared with the CPU time of one process it is the speed-up on free cores,
  and can be read on a busy machine.

Next to them is the floor, from what the same runs showed:

- serial: what of a round in one process is neither training nor validation, and is done by the process that asks;
- share: the part of the training and validation that the busiest worker has, as sites stay whole;
- slowdown: how much more CPU time a training loop takes when as many others as there are workers run at the same time,
  because cores share caches and memory.

Floor of a round = (round in one process − serial) · share · slowdown + serial.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from engines import PEERS, Job, in_process, plain_loop, spread
from fedtune3d._utils.progress import Advance
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.workers.assignment import assign_sites
from fedtune3d.workflows.run import run_experiment

FEDERATED, LOCAL = "rounds (fedavg)", "rounds (baseline: local, all sites)"


@dataclass(frozen=True)
class Moment:
    """A moment of a run: the time, and the CPU time of its processes so far.

    Attributes:
        wall: Seconds.
        asks: CPU seconds of the process that asks.
        busiest: CPU seconds of the worker with the most of them; 0 without workers.
    """

    wall: float
    asks: float
    busiest: float

    @classmethod
    def now(cls) -> "Moment":
        """Look at the clocks."""
        used = [sum(child.cpu_times()[:2]) for child in psutil.Process().children()]
        return cls(time.perf_counter(), time.process_time(), max(used, default=0.0))

    def since(self, before: "Moment", times: int) -> "Cost":
        """What one of `times` equal steps took."""
        cpu = self.asks - before.asks + self.busiest - before.busiest
        return Cost((self.wall - before.wall) / times, cpu / times)


@dataclass(frozen=True)
class Cost:
    """Seconds of a step: wall time, and CPU time of the busiest worker and of the process that asks."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Run:
    """What a run took: per federated round, and for the local baseline without its first round."""

    round: Cost
    local: Cost

    @classmethod
    def of(cls, job: Job, workers: int) -> "Run":
        """Run with a number of workers."""
        path = job.write(f"workers-{workers}", with_roots=True)
        words = [sys.executable, Path(__file__), "measure", path, workers]
        values = json.loads(job.run(f"workers-{workers}", *words).splitlines()[-1])
        return cls(Cost(**values["round"]), Cost(**values["local"]))


class Steps:
    """Notes the moment of each step of a progress bar."""

    def __init__(self) -> None:
        self.moments: dict[str, list[Moment]] = {}

    @contextmanager
    def bar(self, text: str) -> Iterator[Advance]:
        """Note the steps of a bar."""
        moments = self.moments.setdefault(text, [])
        yield lambda done, total: moments.append(Moment.now())

    def note(self, text: str) -> None:
        """Ignore the line."""


def measure(path: Path, workers: int) -> None:
    """Run an experiment in this process; print what it took as JSON."""
    experiment, steps = Experiment.from_yaml(path).model_copy(update={"workers": workers}), Steps()
    run_experiment(experiment, progress=steps, report=False)
    rounds, local = steps.moments[FEDERATED], steps.moments[LOCAL]
    found = Run(
        rounds[-1].since(rounds[1], experiment.training.rounds - 1), local[-1].since(local[len(experiment.sites)], 1)
    )
    print(json.dumps(asdict(found)))


@dataclass(frozen=True)
class Floor:
    """Why several workers cannot be faster; see above."""

    serial: float
    share: float
    slowdown: float

    def of(self, seconds: float) -> float:
        """The least that several workers can take for what takes one process so many seconds."""
        return (seconds - self.serial) * self.share * self.slowdown + self.serial


def share_of_the_busiest(job: Job, workers: int) -> float:
    """The part of all scans that the busiest worker has."""
    sizes = {name: len((root / "participants.tsv").read_text().splitlines()) - 1 for name, root in job.roots.items()}
    holders = assign_sites(sizes, workers)
    held = [sum(size for site, size in sizes.items() if holders[site] == worker) for worker in range(workers)]
    return max(held) / sum(sizes.values())


def slowdown(job: Job, at_once: int) -> float:
    """How much more CPU time a plain training loop takes next to others."""
    before = _cpu_of_children()
    plain_loop(job)
    alone = _cpu_of_children() - before
    words = [sys.executable, PEERS / "plain_loop.py", job.reference]
    processes = [job.start(f"at-once-{number}", *words, job.folder / f"times-{number}") for number in range(at_once)]
    codes = [process.wait() for process in processes]
    if any(codes):
        sys.exit(f"a plain loop failed; see the logs in {job.folder}")
    return (_cpu_of_children() - before - alone) / at_once / alone


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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
    serial = in_process(job).rest
    job.values["baselines"] = ["local"]
    floor = Floor(serial, share_of_the_busiest(job, options.workers), slowdown(job, options.workers))
    one, several = [], []
    for run in range(options.runs):
        one.append(Run.of(job, 1))
        several.append(Run.of(job, options.workers))
        print(f"run {run + 1}: {one[-1].round.wall:.2f} and {several[-1].round.wall:.2f} s per round", flush=True)
    print_table(one, several, options.workers, floor)
    if options.json:
        runs = {"one_process": list(map(asdict, one)), "with_workers": list(map(asdict, several))}
        print(json.dumps({"workers": options.workers, "floor": asdict(floor), **runs}))


def print_table(one: list[Run], several: list[Run], workers: int, floor: Floor) -> None:
    """For people."""
    print(f"Seconds, median (least to most) of {len(one)} runs. Serial: {floor.serial:.3f} s per round. The busiest")
    print(f"worker has {floor.share:.1%}; {workers} loops at once take {floor.slowdown:.2f} times the CPU time of one.")
    for name, step in (("round", "round"), ("local baseline", "local")):
        for clock in ("wall", "cpu"):
            before, now = ([getattr(getattr(run, step), clock) for run in runs] for runs in (one, several))
            ratios = [first / second for first, second in zip(before, now, strict=True)]
            print(
                f"  {name:14} {clock:4}  one process {spread(before)}   {workers} workers {spread(now)}   "
                f"floor {floor.of(statistics.median(before)):.2f}   times faster {spread(ratios)}"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
