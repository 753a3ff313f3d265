"""The speed benchmarks in order, and one table: what each takes now, what is wanted, the floor, and whether it is met.

    python benchmarks/all.py FOLDER [--data DATA] [--only ROW …] [--junit FILE] [--json]

Each program below runs in a process of its own with `--json`; its output is in FOLDER/logs. FOLDER also keeps simulated
sites for the next time. DATA holds raw heads (`scans/`) and label maps (`anatomies/`), for preparation and prediction.
The duration of the tests is taken from FILE, the JUnit report of a finished `make test`, if it is given; else they are
run. Measure on a machine that does nothing else; everything takes about 40 minutes on two cores.

The floor is what cannot be beaten without doing something else: the same program prints how it is found. It is given in
the unit of its row. A row that could not be measured says why; the exit code is then 1. With `--json` the last line is
one JSON object.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parent
MAKE_VARIABLES = {"MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"}
SCANS = 150
"""Of each of the four sites that the programs on rounds share."""
FLOWER = {
    "round": "Flower simulation, train and evaluate",
    "round_training": "Flower simulation, train",
}
"""The engine that the round of each row is compared with."""
QUALITY_BARS = {"correlation": 0.35, "brain_dice": 0.93, "hippocampus_dice_mean": 0.5}
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: For `--only`.
        what: What is measured, with its unit.
        wanted: The value to reach.
        at_least: Whether greater values are better.
    """

    name: str
    what: str
    wanted: float
    at_least: bool = False

    def is_met(self, now: float) -> bool:
        """Whether a value reaches what is wanted."""
        return now >= self.wanted if self.at_least else now <= self.wanted


@dataclass(frozen=True)
class Value:
    """A measured value, its floor in the same unit, and why it does not count although it is measured."""

    now: float
    floor: float | None = None
    fault: str = ""


@dataclass(frozen=True)
class Result:
    """What became of a row: its value, or why there is none."""

    row: Row
    value: Value | None
    why_not: str = ""

    @property
    def met(self) -> str:
        """``yes``, ``no``, or that it was not measured."""
        if self.value is None:
            return f"not measured: {self.why_not}"
        if self.value.fault:
            return f"no: {self.value.fault}"
        return "yes" if self.row.is_met(self.value.now) else "no"


class NotMeasured(Exception):
    """A row cannot be measured here."""


@dataclass(frozen=True)
class Options:
    """Where things are: see above."""

    folder: Path
    data: Path | None = None
    junit: Path | None = None

    def require_data(self) -> Path:
        """The folder of heads."""
        if self.data is None:
            raise NotMeasured("it needs --data")
        return self.data


@dataclass(frozen=True)
class Program:
    """A benchmark that fills some rows.

    Attributes:
        rows: The rows.
        words: Returns its command, without Python.
        read: Returns the value of each row from the JSON object on its last line.
    """

    rows: tuple[Row, ...]
    words: Callable[[Options], Sequence[object]]
    read: Callable[[Json], Mapping[str, Value]]

    def run(self, options: Options) -> Mapping[str, Value]:
        """Run it. Raises `NotMeasured` with the end of its output if it fails."""
        words = [str(word) for word in self.words(options)]
        return self.read(last_json(run_logged([sys.executable, *words, "--json"], options, self.rows[0].name)))


def run_logged(command: Sequence[str], options: Options, name: str) -> str:
    """Run a command with its output in a log; returns the output.

    A `make` above this program is forgotten, so that one below does as it would alone.
    """
    environment = {name: value for name, value in os.environ.items() if name not in MAKE_VARIABLES}
    log = options.folder / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, env=environment).returncode
    text = log.read_text(errors="replace")
    if code:
        last = (text.strip().splitlines() or ["no output"])[-1]
        raise NotMeasured(f"exit code {code}, {last[:120]}; see {log}")
    return text


def last_json(output: str) -> Json:
    """The JSON object on the last line."""
    try:
        found: Json = json.loads(output.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise NotMeasured(f"no JSON on the last line ({error})") from None
    return found


def read_engines(found: Json) -> dict[str, Value]:
    """The round of two workers against Flower's; the floor is two loops on half of the scans each."""
    if found["skipped"]:
        raise NotMeasured("Ray is not installed")
    parts = found["in_process_parts"]
    shared = statistics.median(part["training"] + part["validation"] for part in parts)
    rounds = statistics.median(found["seconds_a_round"]["in_process"])
    least = shared / 2 + rounds - shared
    return {
        row: Value(
            statistics.median(found["two_workers_times_faster"][engine]),
            statistics.median(found["seconds_a_round"][engine]) / least,
        )
        for row, engine in FLOWER.items()
    }


def read_workers(found: Json) -> dict[str, Value]:
    """The round of two workers against that of one process just before it, and its own floor."""
    one, several = ([one["wall"] for one in found[side]["rounds"]] for side in ("one_process", "with_workers"))
    floor, median = found["floor"], statistics.median(one)
    least = (median - floor["serial"]) * floor["share"] * floor["slowdown"] + floor["serial"]
    ratios = [before / now for before, now in zip(one, several, strict=True)]
    return {"workers": Value(statistics.median(ratios), median / least)}


def read_cached_training(found: Json) -> dict[str, Value]:
    """CONV S against the plain loop, and LoRA over its floor."""
    conv_s, lora = found["conv_s"], found["lora"]
    return {
        "local_training": Value(conv_s["plain"] / conv_s["ours"], conv_s["plain"] / conv_s["floor"]),
        "lora_epoch": Value(lora["ours"] / lora["floor"], 1.0),
    }


ENCODER_CASES = {
    "encoder": "forward_ratio",
    "encoder_batch4": "forward_ratio_batch4",
    "encoder_bfloat16": "bfloat16_ratio",
    "training_step": "train_ratio",
}


def read_encoder(found: Json) -> dict[str, Value]:
    """Each case over its floor, and memory against the reference."""
    over = {row: found[f"{case}_seconds"] / found[f"{case}_floor_seconds"] for row, case in ENCODER_CASES.items()}
    return {row: Value(times, 1.0) for row, times in over.items()} | {"memory": Value(found["memory_ratio"])}


def read_preparation(found: Json) -> dict[str, Value]:
    """The median head, if the quality bars are passed."""
    missed = []
    for name, bar in QUALITY_BARS.items():
        value = found[name]
        lowest = min(value) if isinstance(value, list) else value
        if lowest is None or lowest < bar:
            missed.append(f"{name} {lowest}, wanted {bar}")
    return {"preparation": Value(found["median_cpu_seconds"], fault="; ".join(missed))}


def read_scale(found: Json) -> dict[str, Value]:
    """The memory of the largest number of sites; the floor is the state in float64 and one update."""
    largest = max(found["rows"], key=lambda row: row["sites"])
    return {"scale": Value(largest["megabytes_above_baseline"], 3 * found["state_bytes"] / 1e6)}


PROGRAMS = (
    Program(
        (Row("help", "start of `fedtune3d --help`, s", 0.3),),
        lambda options: [HERE / "start.py"],
        lambda found: {"help": Value(found["help"], found["packages"])},
    ),
    Program(
        (
            Row("encoder", "encoder, float32, batch 1, times its floor", 1.25),
            Row("encoder_batch4", "encoder, float32, batch 4, times its floor", 1.25),
            Row("encoder_bfloat16", "encoder, bfloat16, batch 4, times its floor", 1.4),
            Row("training_step", "training step of the encoder, times its floor", 1.35),
            Row("memory", "memory of a training step, times less than the reference", 6.5, at_least=True),
        ),
        lambda options: [HERE / "encoder.py", "--repeats", 1],
        read_encoder,
    ),
    Program(
        (
            Row("local_training", "local training of CONV S, times faster than a plain loop", 1.5, at_least=True),
            Row("lora_epoch", "cached LoRA epoch, last two blocks, times its floor", 1.15),
        ),
        lambda options: [HERE / "cached_training.py"],
        read_cached_training,
    ),
    Program(
        (
            Row("round", "a round with two workers, times faster than Flower's simulation", 1.25, at_least=True),
            Row("round_training", "the same, where Flower's app only trains and scores nothing", 1.25, at_least=True),
        ),
        lambda options: [
            *(HERE / "engines.py", options.folder / "engines", "--engines", *FLOWER.values()),
            *("--rounds", 6, "--runs", 2, "--scans", SCANS),
        ],
        read_engines,
    ),
    Program(
        (Row("workers", "a round with two workers, times faster than one process", 1.8, at_least=True),),
        lambda options: [HERE / "workers.py", options.folder / "engines", "--rounds", 15, "--scans", SCANS],
        read_workers,
    ),
    Program(
        (Row("baselines", "sites of four that train `local` at once across hospitals", 2.5, at_least=True),),
        lambda options: [HERE / "hospital_baselines.py", options.folder / "engines", "--rounds", 3, "--scans", SCANS],
        lambda found: {"baselines": Value(found["at_work"], 4.0)},
    ),
    Program(
        (Row("scale", "memory of rounds over 1,000 sites, MB above baseline", 150),),
        lambda options: [HERE / "scale.py", "--sites", 1000],
        read_scale,
    ),
    Program(
        (Row("preparation", "preparation of a raw head, CPU s (median)", 6),),
        lambda options: [HERE / "preparation.py", options.require_data()],
        read_preparation,
    ),
    Program(
        (Row("predict", "`predict --explain` per raw head, CPU s", 25),),
        lambda options: [HERE / "predict.py", options.require_data(), options.folder / "predict"],
        lambda found: {"predict": Value(found["all"], found["floor"])},
    ),
)
TESTS = Row("tests", "`make test` on two cores, s", 240)
DEMO = Row("demo", "`make demo` after installation, s", 120)


def seconds_of_tests(options: Options) -> float:
    """The duration in a JUnit report, or of the tests run now."""
    if options.junit is None:
        return seconds_of_make(options, TESTS.name, "test")
    suites = ElementTree.parse(options.junit).getroot().iter("testsuite")
    return sum(float(suite.attrib["time"]) for suite in suites)


def seconds_of_demo(options: Options) -> float:
    """The duration of the demo in a new folder."""
    return seconds_of_make(options, DEMO.name, "demo", f"DEMO={options.folder.resolve() / f'demo-{time.time_ns()}'}")


def seconds_of_make(options: Options, name: str, *words: str) -> float:
    """The duration of a target of the Makefile with this Python, which counts as installed."""
    command = ["make", "--old-file=install", f"BIN={Path(sys.executable).parent}", *words]
    began = time.perf_counter()
    run_logged(command, options, name)
    return time.perf_counter() - began


MADE = {TESTS: seconds_of_tests, DEMO: seconds_of_demo}
ROWS = {row.name: row for row in (*(row for program in PROGRAMS for row in program.rows), *MADE)}


def measure(options: Options, chosen: Sequence[str], show: Callable[[str], None]) -> list[Result]:
    """The results of the chosen rows, in the order of the table; each program runs once."""
    results = []
    for program in PROGRAMS:
        wanted = [row for row in program.rows if row.name in chosen]
        if wanted:
            show(f"running: {', '.join(row.name for row in wanted)}")
            results += _results(wanted, lambda program=program: program.run(options))
    for row, seconds in MADE.items():
        if row.name in chosen:
            show(f"running: {row.name}")
            results += _results([row], lambda row=row, seconds=seconds: {row.name: Value(seconds(options))})
    return results


def _results(rows: Sequence[Row], run: Callable[[], Mapping[str, Value]]) -> list[Result]:
    try:
        values = run()
    except NotMeasured as error:
        return [Result(row, None, str(error)) for row in rows]
    return [Result(row, values[row.name]) for row in rows]


def table(results: Sequence[Result]) -> str:
    """The table in Markdown."""
    lines = ["| what | now | wanted | floor | met |", "|---|---|---|---|---|"]
    for result in results:
        value, sign = result.value, "≥" if result.row.at_least else "≤"
        now = "–" if value is None else digits(value.now)
        floor = "–" if value is None or value.floor is None else digits(value.floor)
        lines.append(f"| {result.row.what} | {now} | {sign} {result.row.wanted:g} | {floor} | {result.met} |")
    return "\n".join(lines)


def digits(value: float) -> str:
    """Two decimals below 10, none from 100."""
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"


def as_json(results: Sequence[Result], seconds: float) -> str:
    """All of it for programs."""
    rows = [
        asdict(result.row)
        | {"now": None, "floor": None}
        | ({} if result.value is None else {"now": result.value.now, "floor": result.value.floor})
        | {"met": result.met == "yes", "note": "" if result.met in ("yes", "no") else result.met}
        for result in results
    ]
    return json.dumps({"rows": rows, "seconds": round(seconds, 1), "cores": psutil.cpu_count()})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the programs and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, help="folder of raw heads and label maps")
    names = list(ROWS)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="ROW", help=", ".join(names))
    parser.add_argument("--junit", type=Path, help="JUnit report of a finished `make test`")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    places = Options(
        options.folder.resolve(),
        *(path if path is None else path.resolve() for path in (options.data, options.junit)),
    )
    results = measure(places, options.only, lambda line: print(line, file=sys.stderr, flush=True))
    seconds = time.perf_counter() - began
    print(table(results))
    print(f"{seconds / 60:.1f} minutes on {psutil.cpu_count()} cores")
    if options.json:
        print(as_json(results, seconds))
    return int(any(result.value is None for result in results))


if __name__ == "__main__":
    sys.exit(main())
