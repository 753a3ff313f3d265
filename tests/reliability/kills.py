"""Kill commands at random moments, again and again, and compare what they end in with an undisturbed run.

`python tests/reliability/kills.py --kills 200`. A trial starts a command, kills it a few times before it finishes, lets
it finish, and fails if a state dict, a metric or a prediction differs, or if a temporary file is left.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from commands import draw_nothing
from processes import FINISH_SECONDS, start
from record import GO_ON, Record
from world import (
    EXPERIMENT,
    RUN,
    STUDY,
    Result,
    cache_result,
    copy_world,
    export_result,
    leftovers,
    run_result,
    study_result,
    write_world,
)

KILLS_PER_TRIAL = 8
LATEST = (0.25, 0.5, 1.0)
"""Parts of the undisturbed time before which a kill comes; early ones let many kills fall into one trial."""
Words = list[object]


@dataclass(frozen=True)
class Scenario:
    """A command to kill.

    Attributes:
        name: In the table.
        base: The world that a trial copies, one of `build_bases`.
        command: World → the words of the command, which also continues what was killed.
        result: What must not differ.
        share: Of all kills.
    """

    name: str
    base: str
    command: Callable[[Path], Words]
    result: Callable[[Path], Result]
    share: float


@dataclass
class Count:
    """What came of a scenario's trials."""

    kills: int = 0
    trials: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, kills: int, failure: str) -> None:
        """Count a trial with so many kills, and why it failed, if it did."""
        self.kills += kills
        self.trials += 1
        self.failures += [failure] if failure else []


def _run(world: Path) -> Words:
    return ["run", world / EXPERIMENT, "--resume"]


def _run_result(world: Path) -> Result:
    return run_result(world / RUN)


SCENARIOS = (
    Scenario(
        "prepare",
        "raw",
        lambda world: ["prepare", world / EXPERIMENT, "--workers", 1],
        lambda world: cache_result(world / "cache"),
        0.2,
    ),
    Scenario("run, FedCE, frozen", "prepared", _run, _run_result, 0.2),
    Scenario("run, FedCE, LoRA", "lora", _run, _run_result, 0.2),
    Scenario("run, secure aggregation", "secure", _run, _run_result, 0.2),
    Scenario(
        "benchmark",
        "prepared",
        lambda world: ["benchmark", world / STUDY, "--no-plan"],
        lambda world: study_result(world / "study"),
        0.1,
    ),
    Scenario(
        "export",
        "finished",
        lambda world: ["export", world / RUN, "--merged"],
        lambda world: export_result(world / RUN / "export"),
        0.1,
    ),
)


def build_bases(folder: Path) -> None:
    """Make the worlds that trials copy: `raw`, `finished` and, with prepared scans, `prepared`, `lora` and `secure`."""
    (folder / "raw").mkdir()
    write_world(folder / "raw")
    prepared = copy_world(folder / "raw", folder / "prepared")
    _finish(["prepare", prepared / EXPERIMENT, "--workers", 1], folder)
    lora = folder / "lora"
    lora.mkdir()
    write_world(lora, tuning={"method": "lora"})
    shutil.copytree(prepared / "cache", lora / "cache")
    secure = folder / "secure"
    secure.mkdir()
    write_world(secure, "ABC", aggregation={"rule": "fedavg"}, baselines=[], privacy={"secure_aggregation": True})
    _finish(["prepare", secure / EXPERIMENT, "--workers", 1], folder)
    _finish(_run(copy_world(prepared, folder / "finished")), folder)


def kill_repeatedly(scenario: Scenario, kills: int, folder: Path, seed: int = 1, record: Record | None = None) -> Count:
    """Run trials of a scenario until so many kills were made, those on record included."""
    record = record or Record(None)
    base, count = folder / scenario.base, Count()
    undisturbed = copy_world(base, folder / "undisturbed")
    seconds = _finish(scenario.command(undisturbed), folder)
    expected = scenario.result(undisturbed)
    while count.kills < kills:
        case = f"{scenario.name} {count.trials}"
        if case in record.cases:
            count.add(*record.cases[case])  # type: ignore[misc]
            continue
        draw = random.Random(f"{seed} {case}")
        world = copy_world(base, folder / "trial")
        moments = []
        for _ in range(min(KILLS_PER_TRIAL, kills - count.kills)):
            running = start(scenario.command(world), folder / "log")
            moments.append(round(draw.uniform(0, seconds * draw.choice(LATEST)), 3))
            if running.wait(moments[-1]) is not None:
                moments.pop()
                break
            running.kill()
        fault = _fault(scenario, world, expected, folder)
        failure = f"killed after {moments} s: {fault}" if fault else ""
        record.add(case, [len(moments), failure])
        count.add(len(moments), failure)
        shutil.rmtree(world)
    shutil.rmtree(undisturbed)
    return count


def _fault(scenario: Scenario, world: Path, expected: Result, folder: Path) -> str | None:
    """What is wrong once the command has finished after the kills; None where all is well."""
    running = start(scenario.command(world), folder / "log")
    if (code := running.wait()) is None:
        running.kill()
        return "hangs"
    if code != 0:
        return f"exit code {code}: {running.said}"
    if differing := scenario.result(world).differing(expected):
        return f"differs: {', '.join(differing)}"
    if left := leftovers(world):
        return f"left behind: {', '.join(left)}"
    return None


def _finish(words: Words, folder: Path) -> float:
    """Run an undisturbed command to its end. Returns its seconds."""
    running = start(words, folder / "log")
    if running.wait(FINISH_SECONDS) != 0:
        raise RuntimeError(f"{words}: failed undisturbed: {running.said}")
    return time.monotonic() - running.began


def main() -> int:
    """Run the program. Returns its exit code, 1 where a trial failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="the scenarios whose names begin so")
    parser.add_argument("--record", type=Path, help="keep every trial there, and do not repeat those that are there")
    parser.add_argument("--go-on", action="store_true", help=GO_ON)
    parser.add_argument("--json", action="store_true", help="print the counts as JSON on the last line")
    options = parser.parse_args()
    record = Record(options.record, options.go_on, seed=options.seed, kills=options.kills)
    counts = {}
    draw_nothing()
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        build_bases(folder)
        for scenario in SCENARIOS:
            if scenario.name.startswith(options.only or ""):
                kills = max(1, round(scenario.share * options.kills))
                count = kill_repeatedly(scenario, kills, folder, options.seed, record)
                counts[scenario.name] = count
                print(f"{scenario.name:24}{count.kills:6} kills{count.trials:6} trials{len(count.failures):6} failed")
                for failure in count.failures:
                    print(f"  {failure}")
                sys.stdout.flush()
    if options.json:
        numbers = {
            name: {"kills": count.kills, "trials": count.trials, "failed": len(count.failures)}
            for name, count in counts.items()
        }
        print(json.dumps({"program": "kills", **record.cost(), "counts": numbers}))
    return int(any(count.failures for count in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
