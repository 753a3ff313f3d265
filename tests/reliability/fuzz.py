"""Damage one file at a time, of every kind that the product reads, and see what the commands make of it.

A case fails when a command ends in a traceback, hangs, kills its process, or succeeds with another result although the
file carries a checksum. `python tests/reliability/fuzz.py --cases 2000`; a case is repeated with --only NUMBER.
"""

import argparse
import json
import multiprocessing
import random
import resource
import shutil
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, Queue

from commands import call, draw_nothing
from kinds import KINDS, Kind, build_states, expected_results, files_of
from mutations import mutate
from record import GO_ON, Record
from world import Result, copy_world

CASE_SECONDS = 300
MEMORY_BYTES = 16 << 30
FAILURES = ("traceback", "silent difference", "hang", "crash")
OUTCOMES = ("refused", "same result", "accepted", *FAILURES)
UNTOUCHED = (".safetensors", ".tsv")
"""A damaged file of these kinds that a command did not touch is not its result: whoever opens it will be refused."""
Expected = dict[tuple[str, str], Result]


@dataclass(frozen=True)
class Case:
    """One damaged file and what became of it.

    Attributes:
        number: Draws everything about it, with the seed.
        kind: Of the file.
        file: From the world's folder.
        mutation: What was done to the file.
        command: What then read it.
        outcome: One of `OUTCOMES`; "accepted" is a success on a file that carries no checksum.
        lines: What the command said, the end of it.
    """

    number: int
    kind: str
    file: str = ""
    mutation: str = ""
    command: str = ""
    outcome: str = ""
    lines: str = ""


def kind_of(number: int) -> Kind:
    """The kind of a case; all kinds come up in turn, in proportion to their shares."""
    order = [kind for kind in KINDS for _ in range(kind.share)]
    random.Random("order").shuffle(order)
    return order[number % len(order)]


def run_case(number: int, seed: int, states: Path, expected: Expected) -> Case:
    """Damage a file in a copy of a world, call a command on it, and judge the result."""
    kind, draw = kind_of(number), random.Random(f"{seed} {number}")
    world = copy_world(states / kind.state, states / f"case-{number}")
    try:
        path = draw.choice(files_of(kind, world))
        mutation, action = mutate(path, draw), draw.choice(kind.actions)
        damaged = path.read_bytes()
        outcome = action.command(world)
        if not outcome.clean:
            verdict = "traceback"
        elif outcome.code != 0:
            verdict = "refused"
        elif not kind.has_checksum:
            verdict = "accepted"
        else:
            differing = action.result(world).differing(expected[kind.state, action.name])
            if path.suffix in UNTOUCHED and path.exists() and path.read_bytes() == damaged:
                differing = [name for name in differing if not path.as_posix().endswith(f"/{name}")]
            verdict = "silent difference" if differing else "same result"
            outcome = type(outcome)(outcome.code, f"differs: {', '.join(differing)}" if differing else outcome.lines)
        file = path.relative_to(world).as_posix()
        return Case(number, kind.name, file, mutation, action.name, verdict, outcome.lines)
    finally:
        shutil.rmtree(world, ignore_errors=True)


def work(pipe: Connection, seed: int, states: Path, expected: Expected) -> None:
    """Run the cases whose numbers come through the pipe, in a process that imports once."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    draw_nothing()
    call(["--version"])
    pipe.send(None)
    while (number := pipe.recv()) is not None:
        pipe.send(run_case(number, seed, states, expected))


class Worker:
    """A process that runs cases, and another one when it hangs or dies."""

    def __init__(self, seed: int, states: Path, expected: Expected) -> None:
        self.arguments = (seed, states, expected)
        self._start()

    def run(self, number: int) -> Case:
        """Run a case; a hang and a crash are outcomes, too."""
        self.pipe.send(number)
        try:
            if self.pipe.poll(CASE_SECONDS):
                case: Case = self.pipe.recv()
                return case
            outcome = "hang"
        except EOFError:
            outcome = "crash"
        self.process.kill()
        self.process.join()
        code = self.process.exitcode
        self._start()
        return Case(number, kind_of(number).name, outcome=outcome, lines=f"exit code {code}")

    def stop(self) -> None:
        """End the process."""
        self.pipe.send(None)
        self.process.join(10)
        self.process.kill()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=work, args=(other, *self.arguments))
        self.process.start()
        other.close()
        self.pipe.recv()


def fuzz(numbers: list[int], seed: int, workers: int, folder: Path, record: Record | None = None) -> list[Case]:
    """Run the cases that are not on record in worker processes. Returns all of them in the order of their numbers."""
    record = record or Record(None)
    draw_nothing()
    missing = [number for number in numbers if str(number) not in record.cases]
    queue: Queue[int] = Queue()
    for number in missing:
        queue.put(number)
    if missing:
        build_states(folder)
    expected = expected_results(folder) if missing else {}

    def drain(worker: Worker) -> None:
        with suppress(Empty):
            while True:
                case = worker.run(queue.get_nowait())
                record.add(str(case.number), asdict(case))
                if case.outcome in FAILURES:
                    print_failure(case)

    crew = [Worker(seed, folder, expected) for _ in range(min(workers, len(missing)))]
    try:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(drain, crew))
    finally:
        for worker in crew:
            worker.stop()
    return [Case(**record.cases[str(number)]) for number in numbers]  # type: ignore[arg-type]


def print_failure(case: Case) -> None:
    """Print what is needed to repeat a case and to mend its cause."""
    head = f"{case.number}: {case.outcome}: {case.command}: {case.file} ({case.mutation})"
    print(f"{head}\n{case.lines[-1500:].strip()}\n", flush=True)


def print_table(cases: list[Case]) -> None:
    """Print counts by kind and outcome."""
    print(f"{'kind':32}" + "".join(f"{outcome:>19}" for outcome in OUTCOMES))
    counts = Counter((case.kind, case.outcome) for case in cases)
    for kind in KINDS:
        print(f"{kind.name:32}" + "".join(f"{counts[kind.name, outcome]:19}" for outcome in OUTCOMES))
    for case in cases:
        if case.outcome in FAILURES:
            print(
                f"\n{case.number}: {case.outcome}: {case.command}: {case.file} ({case.mutation})\n{case.lines[-1500:]}"
            )


def summarise(cases: list[Case], record: Record) -> dict[str, object]:
    """Counts by kind and outcome as JSON values."""
    counts = {kind.name: Counter(case.outcome for case in cases if case.kind == kind.name) for kind in KINDS}
    return {"program": "fuzz", "cases": len(cases), **record.cost(), "counts": counts}


def main() -> int:
    """Run the program. Returns its exit code, 1 where a case failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int, action="append", help="run this case alone; may be given several times")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON on the last line")
    parser.add_argument("--record", type=Path, help="keep every case there, and do not repeat those that are there")
    parser.add_argument("--go-on", action="store_true", help=GO_ON)
    options = parser.parse_args()
    record = Record(options.record, options.go_on, seed=options.seed)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        numbers = options.only or list(range(options.cases))
        cases = fuzz(numbers, options.seed, options.workers, Path(folder), record)
    print_table(cases)
    if options.json:
        print(json.dumps(summarise(cases, record)))
    return int(any(case.outcome in FAILURES for case in cases))


if __name__ == "__main__":
    sys.exit(main())
