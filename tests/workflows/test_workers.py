"""A whole run with workers: the bits of a run in one process, whatever is killed, and nothing left behind."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from processes import Running, refused_in_one_line, start
from updates_sent import updates_sent
from waiting import wait_until

from fedtune3d._utils.errors import DamagedFileError, InputError
from fedtune3d._utils.folders import RunFolder, memory_version
from fedtune3d._utils.progress import Advance
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.privacy.egress_log import EgressManifest
from fedtune3d.workflows.run import run_experiment
from fedtune3d.workflows.trial_processes import as_trial

BASELINES = ["local", "centralized"]
SGD = {"rounds": 2, "batch_size": 4, "optimizer": "sgd", "head_learning_rate": 0.05}
LORA = {"method": "lora", "rank": 2, "blocks": [1]}
LEFTOVERS = (".partial.", "spool", ".lock-holder")
COMBINATIONS: dict[str, dict[str, object]] = {
    "fedce": {"aggregation": {"rule": "fedce"}, "baselines": ["leave_one_site_out"]},
    "lora": {"tuning": LORA, "aggregation": {"rule": "fedavg", "lora": "exact"}, "baselines": ["local"]},
    "full": {"tuning": {"method": "full"}},
    "secure": {"privacy": {"secure_aggregation": True}},
    "private": {
        "privacy": {"epsilon": 3.0, "delta": 1e-3},
        "training": {"rounds": 2, "batch_size": 4, "class_weighted": False},
    },
    "scaffold": {"aggregation": {"rule": "scaffold"}, "training": SGD},
    "fedbn": {"aggregation": {"rule": "fedbn"}, "model": {"encoder": "tiny", "head": "conv_s"}},
    "ncc": {
        "aggregation": {"rule": "ncc"},
        "model": {"encoder": "tiny", "head": "ncc"},
        "training": {"rounds": 1, "batch_size": 4},
    },
}


def run(small_experiment: Any, output: Path, workers: int, **changes: object) -> RunFolder:
    path = small_experiment.write(output, workers=workers, **changes)
    return run_experiment(Experiment.from_yaml(path), report=False)


def check_the_same(run: RunFolder, other: RunFolder) -> None:
    """All files with results have equal bytes."""
    patterns = ("**/checkpoints/*.safetensors", "metrics.json", "audit.json", "sites/*/*.tsv", "sites/*/memory*/*")
    found = {
        folder: {path.relative_to(folder.path) for pattern in patterns for path in folder.path.glob(pattern)}
        for folder in (run, other)
    }
    assert found[run] == found[other]
    assert len(found[run]) > 5
    for path in found[run]:
        assert (run.path / path).read_bytes() == (other.path / path).read_bytes(), path


def sent_by_sites(run: RunFolder) -> dict[str, list[tuple[object, ...]]]:
    """Site → what left it, message by message, without times and values."""
    return {
        site.path.name: [
            (entry.kind, entry.namespace, entry.round, entry.reason, [tensor.name for tensor in entry.tensors])
            for entry in EgressManifest(site.egress).entries()
        ]
        for site in run.site_folders
    }


def leftovers(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if any(mark in path.name for mark in LEFTOVERS)]


@pytest.mark.ci
def test_two_workers_give_the_bits_of_one_process(small_experiment: Any, small_run: RunFolder, tmp_path: Path) -> None:
    """Also without cached features, which the workers compute to the same bits."""
    for name in "AB":
        (tmp_path / "cache" / name).mkdir(parents=True)
        (tmp_path / "cache" / name / "prepared").symlink_to(small_experiment.folder / "cache" / name / "prepared")
    folder = run(small_experiment, tmp_path / "run", 2, baselines=BASELINES, cache=str(tmp_path / "cache"))
    check_the_same(folder, small_run)
    assert sent_by_sites(folder) == sent_by_sites(small_run)
    assert not leftovers(tmp_path)
    encoded = list((tmp_path / "cache").glob("*/features/??/*.safetensors"))
    assert len(encoded) == 24
    for path in encoded:
        other = small_experiment.folder / "cache" / path.relative_to(tmp_path / "cache")
        assert path.read_bytes() == other.read_bytes()


class Steps:
    """Notes the bar of each step."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int]] = []

    @contextmanager
    def bar(self, text: str) -> Iterator[Advance]:
        yield lambda done, total: self.seen.append((text, done, total))

    def note(self, text: str) -> None:
        """Ignore the line."""


@pytest.mark.ci
@pytest.mark.parametrize("workers", [1, 2])
def test_all_scans_are_encoded_before_the_first_round_begins(
    small_experiment: Any, tmp_path: Path, workers: int
) -> None:
    for name in "AB":
        (tmp_path / "cache" / name).mkdir(parents=True)
        (tmp_path / "cache" / name / "prepared").symlink_to(small_experiment.folder / "cache" / name / "prepared")
    path = small_experiment.write(tmp_path / "run", workers=workers, cache=str(tmp_path / "cache"), baselines=["local"])
    steps = Steps()
    run_experiment(Experiment.from_yaml(path), report=False, progress=steps)
    encoding = [number for number, (text, _, _) in enumerate(steps.seen) if "encoding" in text]
    rounds = [number for number, (text, _, _) in enumerate(steps.seen) if text == "rounds (fedavg)"]
    assert max(encoding) < min(rounds)
    assert steps.seen[max(encoding)] == ("encoding scans", 24, 24)
    assert ("evaluating sites (federated)", 2, 2) in steps.seen
    sites_times_rounds = 2 * max(total for text, _, total in steps.seen if text == "rounds (fedavg)")
    assert ("rounds (baseline: local, all sites)", sites_times_rounds, sites_times_rounds) in steps.seen


@pytest.mark.slow
@pytest.mark.parametrize("name", COMBINATIONS)
def test_any_number_of_workers_gives_the_same_bits(
    small_experiment: Any, write_small_site: Callable[..., None], tmp_path: Path, name: str
) -> None:
    changes = dict(COMBINATIONS[name])
    if name == "ncc":  # needs class sums
        policy = {"policy": {"min_per_class": 1}}
        changes["sites"] = [site | policy for site in small_experiment.values["sites"]]
    if name == "secure":  # needs three sites
        write_small_site(tmp_path / "C", 10, 7)
        changes["sites"] = [*small_experiment.values["sites"], {"name": "C", "root": str(tmp_path / "C")}]
    runs = [run(small_experiment, tmp_path / f"{workers}", workers, **changes) for workers in (1, 2, 3)]
    for other in runs[1:]:
        check_the_same(other, runs[0])
        assert sent_by_sites(other) == sent_by_sites(runs[0])
    assert not leftovers(tmp_path)


@pytest.mark.slow
def test_an_error_at_a_site_is_the_one_without_workers(
    small_experiment: Any, small_run: RunFolder, tmp_path: Path
) -> None:
    lines = {}
    for workers in (1, 2):
        output = tmp_path / f"run-{workers}"
        shutil.copytree(small_run.path, output)
        damaged = memory_version(RunFolder(output).site("B").memory(), 2)
        damaged.write_bytes(damaged.read_bytes()[:-1])
        values = {"training": {"rounds": 3, "batch_size": 4}, "baselines": BASELINES, "workers": workers}
        experiment = Experiment.from_yaml(small_experiment.write(output, **values))
        with pytest.raises(DamagedFileError) as raised:
            run_experiment(experiment, resume=True, report=False)
        lines[workers] = str(raised.value).replace(str(output), "run")
        assert not (output / "spool-workers").exists()
    assert lines[1] == lines[2]


def children_of(running: Running) -> list[psutil.Process]:
    assert running.process.pid is not None
    return psutil.Process(running.process.pid).children(recursive=True)


def started(path: Path, moment: Callable[[], bool]) -> tuple[Running, list[psutil.Process]]:
    """Start or continue a run with two workers, and wait for a moment of it; returns its processes, too."""
    running = start(["run", path, "--resume", "--workers", "2"], path.with_suffix(".log"))
    wait_until(lambda: moment() or running.process.exitcode is not None, "the moment", pause_seconds=0.002)
    assert running.process.exitcode is None, running.said
    return running, children_of(running)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_the_end_of(children: list[psutil.Process]) -> None:
    assert len(children) >= 2
    wait_until(lambda: not any(map(is_alive, children)), "the end of the workers", 60)


@pytest.mark.slow
def test_killed_in_every_way_and_resumed_gives_the_same_bits(small_experiment: Any, tmp_path: Path) -> None:
    """The run is killed, then one of its workers, then it is stopped with Ctrl-C."""
    values = {"training": {"rounds": 6, "batch_size": 4}, "baselines": BASELINES}
    alone = run(small_experiment, tmp_path / "alone", 1, **values)
    killed = RunFolder(tmp_path / "killed")
    path = small_experiment.write(killed.path, **values)

    running, children = started(path, lambda: updates_sent(killed, "A") > 0)
    running.kill()
    wait_for_the_end_of(children)
    assert not killed.worker_messages.exists()

    running, children = started(path, killed.rounds.rule_memory(3).exists)
    next(child for child in children if "spawn_main" in " ".join(child.cmdline())).send_signal(signal.SIGKILL)
    assert running.wait() == 2
    assert refused_in_one_line(running), running.said
    assert "was killed, perhaps because memory ran out" in running.said
    wait_for_the_end_of(children)
    assert not leftovers(tmp_path / "killed" / "sites")
    assert not killed.worker_messages.exists()

    running, children = started(path, killed.local_rounds("A").ledger.exists)
    assert running.process.pid is not None
    os.kill(running.process.pid, signal.SIGINT)
    assert running.wait() == 130
    assert "Traceback" not in running.said
    wait_for_the_end_of(children)
    assert not killed.worker_messages.exists()

    last = start(["run", path, "--resume", "--workers", "3"], tmp_path / "last.log")
    assert last.wait() == 0, last.said
    check_the_same(killed, alone)
    assert not leftovers(killed.path)


def test_trials_at_once_have_no_workers_of_their_own(small_experiment: Any, tmp_path: Path) -> None:
    experiment = Experiment.from_yaml(small_experiment.write(tmp_path / "run", workers=3))
    assert as_trial(experiment, 1).workers == 3
    assert as_trial(experiment, 2) == experiment.model_copy(update={"workers": 1})


def test_the_number_of_workers_is_no_part_of_the_experiment(small_experiment: Any, tmp_path: Path) -> None:
    one, two = (Experiment.from_yaml(small_experiment.write(tmp_path / "run", workers=count)) for count in (1, 2))
    assert one.sha256() == two.sha256()
    assert "workers" not in two.public()
    with pytest.raises(InputError, match="workers"):
        Experiment.from_yaml(small_experiment.write(tmp_path / "run", workers=0))
