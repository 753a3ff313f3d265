"""Start two processes at once in one output folder: one must win whole, the other must be refused in one line.

`python tests/reliability/twice.py --trials 50`. The second starts after a random part of the first one's time.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from commands import draw_nothing
from processes import FINISH_SECONDS, Running, refused_in_one_line, start
from record import GO_ON, Record
from world import EXPERIMENT, RUN, Result, copy_world, leftovers, run_result, write_world

REFUSAL_SECONDS = 5
"""Allowance for a busy machine; what was measured is printed."""
OUTCOMES = ("one refused", "one after the other", "failed")
PAIRS = (("run", "run"), ("run", "run --resume"), ("run --resume", "run --resume"))


def try_pair(pair: tuple[str, str], delay_seconds: float, world: Path, expected: Result) -> tuple[str, str, float]:
    """Start two commands, the second after a delay. Returns the outcome, why it failed, and the refusal's seconds."""
    words = [[name.split()[0], world / EXPERIMENT, *name.split()[1:]] for name in pair]
    first = start(words[0], world / "log-1")
    apart = first.wait(delay_seconds) is not None
    second = start(words[1], world / "log-2")
    ended = _wait_for_both(first, second)
    winners = [running for running in (first, second) if running.process.exitcode == 0]
    refused = [running for running in (first, second) if refused_in_one_line(running)]
    seconds = max((ended[running.log] - running.began for running in refused), default=0.0)
    if not winners or len(winners) + len(refused) != 2:
        return "failed", f"exit codes {[first.process.exitcode, second.process.exitcode]}: {first.said}{second.said}", 0
    if len(winners) == 2 and not apart and pair[1] != "run --resume":
        return "failed", "both ended well", 0
    if len(winners) == 2 and ended[first.log] > second.began + REFUSAL_SECONDS:
        return "failed", f"both ended well, although the second began {delay_seconds:.2f} s after the first", 0
    if differing := run_result(world / RUN).differing(expected):
        return "failed", f"differs: {', '.join(differing)}", seconds
    if left := leftovers(world):
        return "failed", f"left behind: {', '.join(left)}", seconds
    if seconds > REFUSAL_SECONDS:
        return "failed", f"refused after {seconds:.1f} s", seconds
    return ("one refused" if refused else "one after the other"), "", seconds


def _wait_for_both(first: Running, second: Running) -> dict[Path, float]:
    """Wait until both have ended; kill what hangs. Returns when each ended, by its log."""
    ended: dict[Path, float] = {}
    while len(ended) < 2:
        for running in (first, second):
            if time.monotonic() > running.began + 2 * FINISH_SECONDS:
                running.kill()
            if running.log not in ended and running.wait(0.02) is not None:
                ended[running.log] = time.monotonic()
    return ended


def main() -> int:
    """Run the program. Returns its exit code, 1 where a trial failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the counts as JSON on the last line")
    parser.add_argument("--record", type=Path, help="keep every trial there, and do not repeat those that are there")
    parser.add_argument("--go-on", action="store_true", help=GO_ON)
    options = parser.parse_args()
    record = Record(options.record, options.go_on, seed=options.seed)
    draw_nothing()
    counts: Counter[tuple[str, str]] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory(prefix="twice-") as name:
        folder = Path(name)
        base, expected, seconds = build_base(folder)
        for number in range(options.trials):
            pair, draw = PAIRS[number % len(PAIRS)], random.Random(f"{options.seed} {number}")
            if str(number) not in record.cases:
                world = copy_world(base, folder / "trial")
                delay = draw.choice((0.0, draw.uniform(0, seconds)))
                record.add(str(number), try_pair(pair, delay, world, expected))
                shutil.rmtree(world)
            outcome, why, refusal_seconds = record.cases[str(number)]  # type: ignore[misc]
            counts[" and ".join(pair), outcome] += 1
            slowest = max(slowest, refusal_seconds)
            if why:
                print(f"{number}: {' and '.join(pair)}: {why}", flush=True)
    names = [" and ".join(pair) for pair in PAIRS]
    print(f"{'pair':32}" + "".join(f"{outcome:>22}" for outcome in OUTCOMES))
    for name in names:
        print(f"{name:32}" + "".join(f"{counts[name, outcome]:22}" for outcome in OUTCOMES))
    print(f"slowest refusal: {slowest:.1f} s")
    if options.json:
        numbers = {name: {outcome: counts[name, outcome] for outcome in OUTCOMES} for name in names}
        values = {"slowest_refusal_seconds": round(slowest, 1), "counts": numbers}
        print(json.dumps({"program": "twice", **record.cost(), **values}))
    return int(any(counts[name, "failed"] for name in names))


def build_base(folder: Path) -> tuple[Path, Result, float]:
    """Make a world whose scans are prepared. Returns it, an undisturbed run's result, and that run's seconds."""
    base = folder / "base"
    base.mkdir()
    prepared = start(["prepare", write_world(base), "--workers", 1], folder / "log")
    if prepared.wait() != 0:
        raise RuntimeError(prepared.said)
    world = copy_world(base, folder / "undisturbed")
    running = start(["run", world / EXPERIMENT], folder / "log")
    if running.wait() != 0:
        raise RuntimeError(running.said)
    return base, run_result(world / RUN), time.monotonic() - running.began


if __name__ == "__main__":
    sys.exit(main())
