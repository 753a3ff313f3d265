"""One run on one machine with several workers: seconds per round, against one process.

    python benchmarks/workers.py FOLDER [--workers 2] [--rounds 20] [--scans 200] [--local] [--json]

The job is that of `engines.py`: four simulated sites, CONV S on cached features, one thread per site. Both runs are
open at once and take turns, a round each, while the other waits: what the machine gives changes within seconds, and two
rounds that follow each other meet the same. The first round is left out; medians of the others count, and the median of
the ratios of two that follow each other. `--local` also times the local baseline, one run after the other, without its
first round. Two times are given:

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

from engines import PEERS, Job, in_process, plain_loop, running, spread
from fedtune3d._utils.progress import Advance
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.workers.assignment import assign_sites
from fedtune3d.workflows.run import run_experiment

TURN = "turn"
FLOOR_ROUNDS = 4
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

    def since(self, before: "Moment") -> "Cost":
        """What happened between two moments took."""
        cpu = self.asks - before.asks + self.busiest - before.busiest
        return Cost(self.wall - before.wall, cpu)


@dataclass(frozen=True)
class Cost:
    """Seconds of a step: wall time, and CPU time of the busiest worker and of the process that asks."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Run:
    """What a run took: each federated round but the first, and the local baseline, if timed."""

    rounds: list[Cost]
    local: Cost | None

    @classmethod
    def read(cls, line: str) -> "Run":
        """Read what `measure` printed."""
        values = json.loads(line)
        local = values["local"]
        return cls([Cost(**one) for one in values["rounds"]], None if local is None else Cost(**local))


class Steps:
    """Notes when each step of a progress bar began and ended; each federated round waits for its turn."""

    def __init__(self) -> None:
        self.began: dict[str, list[Moment]] = {}
        self.ended: dict[str, list[Moment]] = {}

    @contextmanager
    def bar(self, text: str) -> Iterator[Advance]:
        """Note the steps of a bar."""
        began, ended = self.began.setdefault(text, []), self.ended.setdefault(text, [])

        def advance(done: int, total: int) -> None:
            ended.append(Moment.now())
            if text == FEDERATED:
                print(TURN, flush=True)
                sys.stdin.readline()
            began.append(Moment.now())

        yield advance

    def note(self, text: str) -> None:
        """Ignore the line."""

    def costs(self, text: str) -> list[Cost]:
        """What each step took."""
        return [end.since(start) for start, end in zip(self.began[text], self.ended[text][1:], strict=False)]


def measure(path: Path, workers: int) -> None:
    """Run an experiment in this process; print what it took as JSON."""
    experiment, steps = Experiment.from_yaml(path).model_copy(update={"workers": workers}), Steps()
    run_experiment(experiment, progress=steps, report=False)
    local = steps.ended.get(LOCAL)
    baseline = local[-1].since(local[len(experiment.sites)]) if local else None
    found = Run(steps.costs(FEDERATED)[1:], baseline)
    print(json.dumps(asdict(found)))


class Player:
    """A run in a process of its own that goes on when it is its turn."""

    def __init__(self, job: Job, workers: int) -> None:
        path = job.write(f"workers-{workers}", with_roots=True)
        words = [sys.executable, Path(__file__), "measure", path, workers]
        self.log = job.log(f"workers-{workers}")
        self.process = job.start(f"workers-{workers}", *words, talks=True)
        self.heard()

    def heard(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        if not line:
            sys.exit(f"{self.log}: {self.log.read_text(errors='replace')[-2000:]}")
        return line.strip()

    def go_on(self) -> str:
        """Give it a turn; what it prints at the end of it."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return self.heard()


def take_turns(job: Job, workers: int) -> tuple[Run, Run]:
    """One process and several workers, a round each in turns, and then the rest of each."""
    players = [Player(job, count) for count in (1, workers)]
    with running([player.process for player in players]):
        for _ in range(job.rounds):
            for player in players:
                player.go_on()
        one, several = [Run.read(player.go_on()) for player in players]
    return one, several


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
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--scans", type=int, default=200, help="of each site")
    parser.add_argument("--local", action="store_true", help="also time the local baseline")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = options.folder.resolve()
    job = Job(folder, options.scans, FLOOR_ROUNDS)
    serial = in_process(job).rest  # prepares, splits and encodes, if need be
    floor = Floor(serial, share_of_the_busiest(job, options.workers), slowdown(job, options.workers))
    job = Job(folder, options.scans, options.rounds)
    job.values["baselines"] = ["local"] if options.local else []
    one, several = take_turns(job, options.workers)
    print(f"Seconds, median (least to most). Serial: {floor.serial:.3f} s per round. The busiest worker has")
    print(f"{floor.share:.1%}; {options.workers} loops at once take {floor.slowdown:.2f} times the CPU time of one.")
    print_rows("round", one.rounds, several.rounds, options.workers, floor)
    if one.local and several.local:
        print_rows("local baseline", [one.local], [several.local], options.workers, floor)
    if options.json:
        sides = {"one_process": asdict(one), "with_workers": asdict(several)}
        print(json.dumps({"workers": options.workers, "floor": asdict(floor), **sides}))


def print_rows(name: str, one: list[Cost], several: list[Cost], workers: int, floor: Floor) -> None:
    """Two lines of the table, one for each clock; each ratio is of two steps that followed each other."""
    for clock in ("wall", "cpu"):
        before, now = ([getattr(cost, clock) for cost in costs] for costs in (one, several))
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
