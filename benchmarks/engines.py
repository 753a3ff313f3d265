"""Seconds a round of the same job in several engines: four sites, CONV S on cached features, FedAvg, one local epoch.

    python benchmarks/engines.py FOLDER [--rounds 5] [--runs 5] [--scans 200] [--engines NAME …] [--json]

Simulates the sites, prepares and encodes their scans once, and then runs in turns, so that all meet the same load: a
plain loop of training and averaging · this project in one process, and with two workers · Flower's simulation (Ray),
in three ways · this project's deployment (a SuperLink and four SuperNodes over TLS, real processes) · Flower's own
FedAvg app on Flower's own deployment (without TLS; a new process a message, as it is by default) · NVFlare's FedAvg in
its simulator. What is not installed is named and left out. All of them train by the project's own `train_locally`, on
one thread a site; the encoder is the tiny one, whose features have the shape of ViT-B's, with random weights.

A run counts with its median round. The first is left out, because in it the sites open what they find open later; in
Flower's simulation an actor also meets sites for the first time in the second and third.

In the project's own runs each site also scores two states a round on its validation scans, the one that it received and
its own. Flower's simulation does this job in two ways. "Train and evaluate" is Flower's own: `FedAvg` as it comes
evaluates the average of each round in messages of their own, and a site scores its own state when it has trained it.
"Scores in train" is this project's way put into Flower: a site scores what it received before it trains. All other
engines train only. The project's own runs also check and save every update and write the ledger; the others do not. In
one process the sites take turns; elsewhere, two workers included, they share the machine's cores.
"""

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import psutil
import yaml

from fedtune3d.federation.flower.engine import QUIET, free_port
from fedtune3d.federation.flower.server_folder import ServerFolder
from fedtune3d.workflows.approve import approve, read_request

PEERS = Path(__file__).parent / "peers"
BIN = Path(sys.executable).parent
SITES = 4
BATCH_SIZE = 8
JOIN_SECONDS = 120
PLAIN, IN_PROCESS = "plain loop", "in_process"
SIMULATION, EVALUATING_SIMULATION = "Flower simulation, train", "Flower simulation, train and evaluate"
SCORING_SIMULATION = "Flower simulation, scores in train"
WORKERS = "in_process, 2 workers"
DEPLOYMENT, FLOWER, NVFLARE = "this deployment", "Flower FedAvg app, deployment", "NVFlare simulator"
NEEDS = dict.fromkeys((SIMULATION, EVALUATING_SIMULATION, SCORING_SIMULATION), "ray") | {NVFLARE: "nvflare"}
LIMIT_PERCENT = 3.0


@dataclass(frozen=True)
class Timing:
    """What a run of an engine took.

    Attributes:
        round: Seconds a round.
        parts: Of these, in each part that was measured, such as ``"training"``: the sites' local training.
    """

    round: float
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def rest(self) -> float:
        """Seconds a round beside training and validation."""
        return self.round - self.parts["training"] - self.parts["validation"]


class Job:
    """The sites, the experiment, and the processes that run it."""

    def __init__(self, folder: Path, scans: int, rounds: int) -> None:
        self.folder, self.rounds = folder, rounds
        self.times = folder / "times"
        hospitals = folder / "hospitals"
        if not (hospitals / "experiment.yaml").exists():
            self.run("simulate", *fedtune3d("simulate", hospitals, "--sites", SITES, "--scans", SITES * scans))
        values = yaml.safe_load((hospitals / "experiment.yaml").read_text())
        self.roots = {site["name"]: (hospitals / site["root"]).resolve() for site in values["sites"]}
        self.values = values | {
            "name": "engines",
            "baselines": [],
            "threads": 1,
            "workers": 1,
            "cache": str(folder / "cache"),
            "model": {"encoder": "tiny", "head": "conv_s"},
            "training": {"rounds": rounds, "batch_size": BATCH_SIZE},
        }

    def write(self, name: str, *, with_roots: bool) -> Path:
        """An experiment file whose run goes to a new folder."""
        output = self.folder / name
        shutil.rmtree(output, ignore_errors=True)
        policy = {"predictions_leave": False, "pictures_leave": False, "groups_leave": False}
        sites = [
            {"name": site, "policy": policy} | ({"root": str(root)} if with_roots else {})
            for site, root in self.roots.items()
        ]
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(self.values | {"sites": sites, "output": str(output)}))
        return path

    @property
    def reference(self) -> Path:
        """The experiment as it ran in one process, whose splits the other engines take."""
        return self.folder / "in_process.yaml"

    def start(
        self, name: str, *words: object, home: Path | None = None, talks: bool = False
    ) -> "subprocess.Popen[bytes]":
        """Start a program with its output in a log; if it talks, only its errors, and the rest goes through pipes."""
        paths = [str(PEERS), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, **QUIET, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        environment |= {"PYTHONPATH": os.pathsep.join(paths), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        environment |= {"FLWR_HOME": str(home)} if home else {}
        with self.log(name).open("wb") as output:
            pipe = subprocess.PIPE if talks else None
            return subprocess.Popen(
                list(map(str, words)), stdin=pipe, stdout=pipe or output, stderr=output, env=environment
            )

    def log(self, name: str) -> Path:
        """The output of a program."""
        return self.folder / f"{name}.log"

    def run(self, name: str, *words: object) -> str:
        """Run a program that must succeed; its output."""
        if self.start(name, *words).wait():
            sys.exit(f"{self.log(name)}: {self.log(name).read_text(errors='replace')[-2000:]}")
        return self.log(name).read_text(errors="replace")

    def timed(self, run: Callable[[], object]) -> float:
        """Seconds of the median round, after the first, of a run that notes when each of its rounds ended."""
        self.times.unlink(missing_ok=True)
        run()
        ends = [float(line) for line in self.times.read_text().splitlines()]
        if len(ends) != self.rounds:
            sys.exit(f"expected {self.rounds} rounds, saw {len(ends)}; see the logs in {self.folder}")
        return statistics.median(later - earlier for earlier, later in pairwise(ends))


def fedtune3d(*words: object) -> list[object]:
    """A command of the project."""
    return [sys.executable, "-m", "fedtune3d", *words]


@contextmanager
def running(processes: "list[subprocess.Popen[bytes]]") -> Iterator[None]:
    """End the processes after the block."""
    try:
        yield
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait()


def plain_loop(job: Job) -> Timing:
    """Training and averaging, nothing else."""
    words = [sys.executable, PEERS / "plain_loop.py", job.reference, job.times]
    return Timing(job.timed(lambda: job.run("plain_loop", *words)))


def in_process(job: Job) -> Timing:
    """`fedtune3d run`, with a clock on its parts."""
    path = job.write("in_process", with_roots=True)
    words = [sys.executable, PEERS / "timed_run.py", path, job.times]
    seconds = job.timed(lambda: job.run("in_process", *words))
    return Timing(seconds, json.loads(job.log("in_process").read_text().splitlines()[-1]))


def two_workers(job: Job) -> Timing:
    """`fedtune3d run` with its sites in two worker processes."""
    path = job.write("workers", with_roots=True)
    words = [sys.executable, PEERS / "timed_run.py", path, job.times, 2]
    return Timing(job.timed(lambda: job.run("workers", *words)))


def deployment(job: Job) -> Timing:
    """A SuperLink and four SuperNodes over TLS, each site a process that stays."""
    address = f"localhost:{free_port()}"
    shutil.rmtree(job.folder / "server", ignore_errors=True)
    server = ServerFolder.make(job.folder / "server", address, tuple(job.roots))
    path = job.write("across", with_roots=False)
    sites = []
    for name, root in job.roots.items():
        site = server.paths.site(name).path
        settings = {"name": name, "server": address, "data": str(root), "policy": {"min_people": 1}}
        (site / "site.yaml").write_text(yaml.safe_dump(settings))
        (site / "work" / "cache").mkdir(parents=True)
        (site / "work" / "cache" / name).symlink_to(job.folder / "cache" / name)
        approve(site, read_request(site, path))
        sites.append(job.start(f"join-{name}", *fedtune3d("site", "join", site)))
    words = fedtune3d("server", "run", path, "--folder", server.path)
    with running(sites), following(path.with_suffix("") / "rounds.jsonl", job.times):
        seconds = job.timed(lambda: job.run("across", *words))
    return Timing(seconds)


@contextmanager
def following(ledger: Path, times: Path) -> Iterator[None]:
    """Note when a run's ledger gets the line of a round, while the block runs."""
    ended = threading.Event()

    def follow() -> None:
        seen = 0
        while not ended.wait(0.01):
            lines = ledger.read_text().splitlines() if ledger.exists() else []
            rounds = sum('"kind": "train"' in line for line in lines)
            for _ in range(rounds - seen):
                with times.open("a") as file:
                    file.write(f"{time.time()}\n")
            seen = rounds

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def flower_deployment(job: Job) -> Timing:
    """Flower's own FedAvg app on a SuperLink and four SuperNodes of Flower's own."""
    home, port = job.folder / "flwr", free_port()
    write_flower_config(home, f'address = "127.0.0.1:{port}"\ninsecure = true\n')
    link = ["--insecure", "--port", port, "--disable-runtime-dependency-installation"]
    processes = [job.start("superlink", BIN / "flower-superlink", *link, home=home)]
    for number in range(SITES):
        node = ["--insecure", "--superlink", f"127.0.0.1:{port}", "--port", free_port()]
        node += ["--node-config", f"partition-id={number}"]
        processes.append(job.start(f"supernode-{number}", BIN / "flower-supernode", *node, home=home))
    with running(processes):
        return Timing(job.timed(lambda: run_flower_app(job, home)))


def flower_simulation(job: Job, *, scores: str = "") -> Timing:
    """The same app in Flower's simulation, one core a site; for `scores` see `peers/flower_app`."""
    home = job.folder / "flwr-simulation"
    options = f"options.num-supernodes = {SITES}\noptions.backend.client-resources.num-cpus = 1\n"
    write_flower_config(home, options)
    try:
        return Timing(job.timed(lambda: run_flower_app(job, home, scores=scores)))
    finally:
        stop_local_superlink(home)


def stop_local_superlink(home: Path) -> None:
    """`flwr run` leaves the SuperLink of a simulation running."""
    database = str(home / "local-superlink" / "state.db")
    for process in psutil.process_iter(["cmdline"]):
        if database in (process.info["cmdline"] or []):
            process.terminate()


def write_flower_config(home: Path, connection: str) -> None:
    """Flower's config with one connection, the default."""
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(f'[superlink]\ndefault = "here"\n\n[superlink.here]\n{connection}')


def run_flower_app(job: Job, home: Path, *, scores: str = "") -> None:
    """Run the app to its end, as soon as there is a SuperLink to run it on."""
    until = time.monotonic() + JOIN_SECONDS
    config = f'experiment="{job.reference}" times="{job.times}" scores="{scores}"'
    words = [BIN / "flwr", "run", PEERS / "flower_app", "here", "--stream", "--run-config", config]
    while job.start("flwr", *words, home=home).wait() or not job.times.exists():
        if time.monotonic() > until:
            sys.exit(f"{job.log('flwr')}: {job.log('flwr').read_text(errors='replace')[-2000:]}")
        time.sleep(1)


def nvflare_simulator(job: Job) -> Timing:
    """NVFlare's FedAvg recipe in its simulator, a thread a site."""
    workspace = job.folder / "nvflare"
    shutil.rmtree(workspace, ignore_errors=True)
    words = [sys.executable, PEERS / "nvflare_job.py", job.reference, job.times, workspace]
    return Timing(job.timed(lambda: job.run("nvflare", *words)))


ENGINES: dict[str, Callable[[Job], Timing]] = {
    PLAIN: plain_loop,
    IN_PROCESS: in_process,
    WORKERS: two_workers,
    SIMULATION: flower_simulation,
    EVALUATING_SIMULATION: partial(flower_simulation, scores="evaluate"),
    SCORING_SIMULATION: partial(flower_simulation, scores="training"),
    DEPLOYMENT: deployment,
    FLOWER: flower_deployment,
    NVFLARE: nvflare_simulator,
}


def installed(engine: str) -> bool:
    """Whether an engine can run here."""
    return engine not in NEEDS or importlib.util.find_spec(NEEDS[engine]) is not None


def spread(values: list[float], digits: int = 2) -> str:
    """Median and range."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def print_table(found: dict[str, list[Timing]], scans: int) -> None:
    """For people."""
    runs = len(found[IN_PROCESS])
    print(f"Seconds a round, {SITES} sites of {scans} scans, median (least to most) of {runs} runs")
    for engine, timings in found.items():
        print(f"  {engine:30} {spread([timing.round for timing in timings])}")
    own = found[IN_PROCESS]
    print("Where a round in one process goes")
    for part in own[0].parts:
        print(f"  {part:30} {spread([timing.parts[part] for timing in own], 3)}")
    print(f"  {'all but the first two':30} {spread([timing.rest for timing in own], 3)}")
    percent = spread(added_percent(own), 1)
    print(f"  {'that, % of local training':30} {percent}   wanted under {LIMIT_PERCENT:.0f}")
    print("Two workers are faster")
    for engine in against_workers(found):
        print(f"  {'than ' + engine:30} {spread(times_faster(found, engine))} times")
    if differences := deployment_minus_flower(found):
        print("This deployment minus Flower's FedAvg app on its own")
        print(f"  {'seconds a round':30} {spread(differences)}")


def added_percent(timings: list[Timing]) -> list[float]:
    """What the round loop adds to the sites' training and validation, in per cent of the training."""
    return [100 * timing.rest / timing.parts["training"] for timing in timings]


def against_workers(found: dict[str, list[Timing]]) -> list[str]:
    """The engines that trained the same job, to which the workers are compared."""
    return [engine for engine in (IN_PROCESS, EVALUATING_SIMULATION, SCORING_SIMULATION, SIMULATION) if engine in found]


def times_faster(found: dict[str, list[Timing]], engine: str) -> list[float]:
    """How many times faster a round is with two workers than in an engine, run by run."""
    return [theirs.round / ours.round for ours, theirs in zip(found[WORKERS], found[engine], strict=True)]


def deployment_minus_flower(found: dict[str, list[Timing]]) -> list[float]:
    """Seconds a round, run by run; empty unless both ran."""
    if not {DEPLOYMENT, FLOWER} <= found.keys():
        return []
    return [ours.round - theirs.round for ours, theirs in zip(found[DEPLOYMENT], found[FLOWER], strict=True)]


def as_json(found: dict[str, list[Timing]], skipped: list[str]) -> str:
    """For programs."""
    own = found[IN_PROCESS]
    return json.dumps(
        {
            "seconds_a_round": {engine: [round(one.round, 3) for one in found[engine]] for engine in found},
            "in_process_parts": [{part: round(seconds, 4) for part, seconds in one.parts.items()} for one in own],
            "in_process_added_percent": [round(percent, 2) for percent in added_percent(own)],
            "two_workers_times_faster": {
                engine: [round(times, 3) for times in times_faster(found, engine)] for engine in against_workers(found)
            },
            "deployment_minus_flower": [round(seconds, 3) for seconds in deployment_minus_flower(found)],
            "skipped": skipped,
        }
    )


def main() -> None:
    """Run all engines and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scans", type=int, default=200, help="of each site")
    parser.add_argument(
        "--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES), help="only these, and our own"
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    job = Job(options.folder.resolve(), options.scans, options.rounds)
    chosen = {name: engine for name, engine in ENGINES.items() if name in {IN_PROCESS, WORKERS, *options.engines}}
    engines = {name: engine for name, engine in chosen.items() if installed(name)}
    skipped = [name for name in chosen if name not in engines]
    for name in skipped:
        print(f"skipped: {name}; {NEEDS[name]} is not installed")
    two_workers(job)  # prepares and encodes
    in_process(job)  # splits, as the other engines read it
    found: dict[str, list[Timing]] = {name: [] for name in engines}
    for run in range(options.runs):
        for name, engine in engines.items():
            found[name].append(engine(job))
            print(f"run {run + 1}: {name}: {found[name][-1].round:.2f} s a round", flush=True)
    print_table(found, options.scans)
    if options.json:
        print(as_json(found, skipped))


if __name__ == "__main__":
    main()
