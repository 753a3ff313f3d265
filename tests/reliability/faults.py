"""Let every call into the operating system fail once, at every place of the package that makes it.

`python tests/reliability/faults.py`. A first run records the places: the line of the package outside `_utils` from
which a file was opened, flushed, renamed or written. Then each place fails once with each error; the command must stop
with one line that names a file and the cause, and end in the undisturbed bits when it is started again.
"""

import argparse
import builtins
import errno
import functools
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands import draw_nothing
from processes import refused_in_one_line, start
from record import GO_ON, Record
from world import EXPERIMENT, PEOPLE, RUN, Result, cache_result, copy_world, leftovers, run_result, write_world

PACKAGE, UTILITIES = "/fedtune3d/", "/fedtune3d/_utils/"
ERRORS = ("ENOSPC", "EIO", "EMFILE", "MemoryError")
CAUSES = {"ENOSPC": "No space left", "EIO": "nput/output", "EMFILE": "oo many open files", "MemoryError": "memory"}
OUTCOMES = ("stopped, then same bits", "same bits", "failed")


@dataclass(frozen=True)
class Place:
    """Where the package calls into the operating system: a line of it, and what it calls.

    Attributes:
        site: File and line, outside `_utils`.
        call: Such as ``open to write``.
    """

    site: str
    call: str

    def errors(self) -> Iterable[str]:
        """The errors that such a call can end in."""
        return [name for name in ERRORS if (name, self.call) != ("ENOSPC", "open to read") and self._fits(name)]

    def _fits(self, name: str) -> bool:
        return name != "EMFILE" or self.call.startswith("open")


@dataclass(frozen=True)
class Shim:
    """Stands between the package and the operating system, and notes or fails the calls that touch a folder.

    Attributes:
        folder: Only calls with a path below it count, and those with a file handle.
        fail_at: The place to fail once; None to note every place in `notes`.
        error: Of `ERRORS`.
        notes: Where places are noted as lines of JSON.
    """

    folder: str
    fail_at: Place | None = None
    error: str = ""
    notes: str = ""

    def __call__(self) -> None:
        """Replace the calls in this process."""
        import fedtune3d._utils.state_dicts as state_dicts

        seen: set[Place] = set()
        for owner, name, say in (
            (builtins, "open", _mode_of_open),
            (Path, "open", _mode_of_open),
            (Path, "mkdir", None),
            (os, "replace", None),
            (os, "fsync", None),
            (os, "open", None),
            (state_dicts, "save_file", None),
        ):
            setattr(owner, name, self._shimmed(getattr(owner, name), name, say, seen))

    def _shimmed(self, real: Any, name: str, say: Callable[..., str] | None, seen: set[Place]) -> Any:
        @functools.wraps(real)
        def shim(*arguments: Any, **options: Any) -> Any:
            site = _site()
            if site is not None and self._counts(name, arguments):
                place = Place(site, say(*arguments, **options) if say else name)
                if place not in seen:
                    seen.add(place)
                    self._note_or_fail(place, arguments)
            return real(*arguments, **options)

        return shim

    def _counts(self, name: str, arguments: tuple[Any, ...]) -> bool:
        if name == "fsync":
            return True
        return any(isinstance(path, str | Path) and str(path).startswith(self.folder) for path in arguments[:2])

    def _note_or_fail(self, place: Place, arguments: tuple[Any, ...]) -> None:
        if self.fail_at is None:
            handle = os.open(self.notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(handle, json.dumps([place.site, place.call]).encode() + b"\n")
            os.close(handle)
        elif place == self.fail_at:
            if self.error == "MemoryError":
                raise MemoryError
            number = getattr(errno, self.error)
            paths = [str(path) for path in arguments[:1] if isinstance(path, str | Path)]
            raise OSError(number, os.strerror(number), *paths)


def _mode_of_open(path: object, mode: str = "r", *arguments: object, **options: object) -> str:
    return "open to read" if set(mode) <= set("rbt") else "open to write"


def _site() -> str | None:
    """The innermost line of the package outside `_utils`; None where the package is not on the stack."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if PACKAGE in name and UTILITIES not in name:
            return f"{name.rpartition(PACKAGE)[2]}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return None


@dataclass(frozen=True)
class Command:
    """A command that is made to fail.

    Attributes:
        name: Of the command.
        words: World → its words, which also continue what was stopped.
        result: World → what must not differ.
    """

    name: str
    words: Callable[[Path], list[object]]
    result: Callable[[Path], Result]


PREPARE = Command(
    "prepare",
    lambda world: ["prepare", world / EXPERIMENT, "--workers", 1],
    lambda world: cache_result(world / "cache"),
)
RUN_RESUME = Command(
    "run",
    lambda world: ["run", world / EXPERIMENT, "--resume"],
    lambda world: run_result(world / RUN),
)


def record_places(command: Command, world: Path) -> list[Place]:
    """Run a command once in a world and return the places in the order in which they are reached."""
    notes = world / "places.jsonl"
    running = start(command.words(world), world / "log", Shim(str(world), notes=str(notes)))
    if running.wait() != 0:
        raise RuntimeError(running.said)
    lines = notes.read_text().splitlines()
    notes.unlink()
    return [Place(*json.loads(line)) for line in lines]


def fail_once(command: Command, place: Place, error: str, world: Path, expected: Result) -> tuple[str, str]:
    """Let one call fail, then start the command again. Returns the outcome, and why it failed."""
    running = start(command.words(world), world / "log", Shim(str(world), place, error))
    code, said = running.wait(), running.said
    if code is None:
        running.kill()
        return "failed", "hangs"
    if code == 0:
        return _compared(command, world, expected, "same bits")
    if not refused_in_one_line(running):
        return "failed", f"exit code {code}: {said[-700:]}"
    line = said[said.rfind("fedtune3d: ") :]
    if CAUSES[error] not in line:
        return "failed", f"does not name the cause: {line}"
    if error != "MemoryError" and "/" not in line:
        return "failed", f"does not name a file: {line}"
    again = start(command.words(world), world / "log")
    if again.wait() != 0:
        again.kill()
        return "failed", f"afterwards the command ends with exit code {again.process.exitcode}: {again.said[-700:]}"
    return _compared(command, world, expected, "stopped, then same bits")


def _compared(command: Command, world: Path, expected: Result, outcome: str) -> tuple[str, str]:
    if differing := command.result(world).differing(expected):
        return "failed", f"{outcome} expected, but differs: {', '.join(differing)}"
    if left := leftovers(world):
        return "failed", f"left behind: {', '.join(left)}"
    return outcome, ""


def inject(folder: Path, sample: int | None, seed: int, record: Record | None = None) -> Counter[tuple[str, str]]:
    """Fail every place with every error, or a sample of these, and print the failures. Returns counts of outcomes.

    Those on record are not repeated.
    """
    record = record or Record(None)
    few, prepared = folder / "few", folder / "prepared"
    for world, people in ((few, 2), (prepared, PEOPLE)):  # a scan is like the next to `prepare`
        world.mkdir()
        write_world(world, people=people)
    if start(PREPARE.words(prepared), folder / "log").wait() != 0:
        raise RuntimeError((folder / "log").read_text())
    cases: list[tuple[Command, Path, Result, Place, str]] = []
    for command, base in ((PREPARE, few), (RUN_RESUME, prepared)):
        world = copy_world(base, folder / f"undisturbed {command.name}")
        places = record_places(command, world)
        expected = command.result(world)
        cases += [(command, base, expected, place, error) for place in places for error in place.errors()]
    if sample is not None:
        cases = random.Random(seed).sample(cases, min(sample, len(cases)))
    counts: Counter[tuple[str, str]] = Counter()
    for command, base, expected, place, error in cases:
        case = f"{command.name}: {error} at {place.site} ({place.call})"
        if case not in record.cases:
            world = copy_world(base, folder / "case")
            record.add(case, fail_once(command, place, error, world, expected))
            shutil.rmtree(world)
        outcome, why = record.cases[case]  # type: ignore[misc]
        counts[error, outcome] += 1
        if why:
            print(f"{case}: {why}", flush=True)
    return counts


def _has_failed(result: object) -> bool:
    outcome, _ = result  # type: ignore[misc]
    return outcome == "failed"


def main() -> int:
    """Run the program. Returns its exit code, 1 where a case failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, help="so many of all pairs of place and error")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the counts as JSON on the last line")
    parser.add_argument("--record", type=Path, help="keep every case there, and do not repeat those that are there")
    parser.add_argument("--go-on", action="store_true", help=GO_ON)
    options = parser.parse_args()
    record = Record(options.record, options.go_on, _has_failed, seed=options.seed, sample=options.sample)
    draw_nothing()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        counts = inject(Path(folder), options.sample, options.seed, record)
    print(f"{'error':14}" + "".join(f"{outcome:>26}" for outcome in OUTCOMES))
    for error in ERRORS:
        print(f"{error:14}" + "".join(f"{counts[error, outcome]:26}" for outcome in OUTCOMES))
    if options.json:
        numbers = {error: {outcome: counts[error, outcome] for outcome in OUTCOMES} for error in ERRORS}
        print(json.dumps({"program": "faults", **record.cost(), "counts": numbers}))
    return int(any(counts[error, "failed"] for error in ERRORS))


if __name__ == "__main__":
    sys.exit(main())
