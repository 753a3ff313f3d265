"""Sites in worker processes: what `InProcess` gives, and with the same errors."""

import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
import torch
from held_sites import SCORES, MakingFor, Named
from waiting import wait_until

from fedtune3d._utils.errors import InputError, MachineError
from fedtune3d._utils.locks import hold_until_exit, wait_until_free
from fedtune3d.federation.in_process import InProcess
from fedtune3d.federation.messages import Answer, Fault, Task
from fedtune3d.federation.tasks.score import Score, ScoreAnswer
from fedtune3d.federation.tasks.train import Train
from fedtune3d.federation.workers.pool import WorkerPool
from fedtune3d.federation.workers.spool import Spool
from fedtune3d.federation.workers.worker_federation import Unencoded, WorkerFederation
from fedtune3d.training.dataset import LabelledScan
from fedtune3d.training.scores import Scores

ERRORS = ("input", "full-disk", "raw-full-disk", "damaged", "memory", "refusal", "bug")
HOLDERS = {"a": 0, "b": 1, "c": 0, "fault": 1, "own-error": 0} | dict.fromkeys(ERRORS, 1)


@dataclass(frozen=True)
class Bench:
    """A federation of two workers, and the same sites in this process."""

    folder: Path
    workers: WorkerFederation
    here: InProcess

    def processes(self, name: str) -> list[int]:
        """The processes that answered for a site."""
        path = self.folder / name
        return [int(line) for line in path.read_text().split()] if path.exists() else []


def unencoded() -> list[Unencoded]:
    """Forty scans of one site."""
    return [Unencoded("a", "train", [LabelledScan(Path(f"{number}.npy"), 0, "a") for number in range(40)])]


def two_workers(folder: Path, holders: Mapping[str, int]) -> WorkerPool:
    return WorkerPool(2, MakingFor(folder, holders), Spool(folder / "spool"))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("workers")
    (folder / "here").mkdir()
    with two_workers(folder, HOLDERS) as pool:
        here = InProcess({name: Named(name, folder / "here") for name in HOLDERS})
        yield Bench(folder, WorkerFederation(pool, HOLDERS), here)
    assert not (folder / "spool").exists()
    assert not worker_processes()


def worker_processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


def asked(*names: str, round_: int = 1) -> dict[str, Task]:
    return dict.fromkeys(names, Task(Score(), round_, {"state": {"weight": torch.tensor([1.5, -2.0])}}))


@pytest.mark.ci
def test_the_answers_are_those_in_process(bench: Bench) -> None:
    tasks = asked("c", "fault", "b", "a")
    replies = sorted(bench.workers.ask(tasks), key=lambda reply: reply.site)
    expected = list(bench.here.ask(tasks))
    assert [reply.site for reply in replies] == ["a", "b", "c", "fault"]
    assert replies[3] == expected[3] == Fault("fault", "loss is NaN in batch 3")
    for reply, answer in zip(replies[:3], expected[:3], strict=True):
        assert isinstance(reply, Answer)
        assert isinstance(answer, Answer)
        assert reply.payload == answer.payload
        assert torch.equal(reply.parts["state"]["weight"], torch.tensor([3.0, -4.0]))
    assert list((bench.folder / "spool").iterdir()) == []


def test_a_site_stays_in_one_process_which_makes_its_sites_once(bench: Bench) -> None:
    for _ in range(2):
        assert len(list(bench.workers.ask(asked("a", "b", "c")))) == 3
    first, second = (set(bench.processes(name)) for name in "ab")
    assert len(first) == len(second) == 1
    assert first != second
    assert set(bench.processes("c")) == first
    assert os.getpid() not in first | second
    assert sorted(bench.processes("made")) == sorted(first | second)


def test_all_workers_encode_the_scans_of_one_site(bench: Bench) -> None:
    """Forty scans go to two workers in pieces of 16."""
    steps: list[tuple[int, int]] = []
    bench.workers.encode(unencoded(), lambda done, total: steps.append((done, total)))
    assert steps[-1] == (40, 40)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    lines = [line.split() for line in (bench.folder / "a-train").read_text().splitlines()]
    assert sorted(len(scans) for _, *scans in lines) == [8, 16, 16]
    assert {scan for _, *scans in lines for scan in scans} == {str(number) for number in range(40)}
    assert len({process for process, *_ in lines}) == 2


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_the_one_in_process(bench: Bench, name: str) -> None:
    tasks = asked("a", name, round_=0)
    with pytest.raises(Exception) as expected:
        list(bench.here.ask(tasks))
    with pytest.raises(type(expected.value)) as raised:
        list(bench.workers.ask(tasks))
    assert type(raised.value) is type(expected.value)
    assert str(raised.value) == str(expected.value)
    assert len(list(bench.workers.ask(asked("a", "b")))) == 2  # the workers go on


def test_of_two_errors_the_first_sites_is_raised(bench: Bench) -> None:
    with pytest.raises(InputError, match=r"expected a table"):
        list(bench.workers.ask(asked("memory", "input", "b")))


def test_an_error_that_cannot_be_pickled_comes_with_its_traceback(bench: Bench) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)held_sites.*OwnError: 7: seven"):
        list(bench.workers.ask(asked("own-error")))


def test_a_refusal_is_a_fault_in_a_round(bench: Bench) -> None:
    (reply,) = bench.workers.ask(asked("refusal"))
    assert reply == Fault("refusal", "policy.max_rounds is 2")


def test_a_site_of_a_worker_is_written_to_by_no_other_process(bench: Bench) -> None:
    list(bench.workers.ask(asked("a", "b")))
    for name in "ab":
        with pytest.raises(InputError, match="another process is writing to this folder"):
            hold_until_exit(bench.folder / "sites" / name)
        with pytest.raises(InputError, match="is still writing here"):
            wait_until_free(bench.folder / "sites" / name, 0)


def training(*names: str, attempt: int | None = None, namespace: str = "") -> dict[str, Task]:
    instruction = Train(rule="fedavg", step={}, attempt=attempt)
    return dict.fromkeys(names, Task(instruction, 1, {"state": {"weight": torch.ones(2)}}, namespace=namespace))


def scores_of(replies: Iterable[Answer | Fault]) -> dict[str, Scores | None]:
    return {reply.site: reply.expect(ScoreAnswer).received for reply in replies if isinstance(reply, Answer)}


@pytest.mark.ci
def test_a_free_worker_scores_what_the_last_site_of_another_received(tmp_path: Path) -> None:
    """ "helped" trains until somebody has begun to score, which only the worker of "a" can be."""
    holders = {"a": 0, "before": 1, "helped": 1}
    with two_workers(tmp_path, holders) as pool:
        federation = WorkerFederation(pool, holders)
        found = scores_of(federation.ask(training(*holders)))
        assert found["helped"] == SCORES
        assert found["before"] == replace(SCORES, why="scored by its own worker")
        (process,) = (tmp_path / "helped-scored").read_text().split()
        assert int(process) in {child.pid for child in worker_processes()}
        again = scores_of(federation.ask(training(*holders)))
        assert again.keys() == found.keys()
        assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.ci
def test_a_worker_with_less_to_do_scores_for_another_before_its_last_site(tmp_path: Path) -> None:
    """ "after" trains until its worker has scored for "helped", which therefore came first."""
    holders = {"after": 0, "helped": 1}
    with two_workers(tmp_path, holders) as pool:
        federation = WorkerFederation(pool, holders, {"after": "helped"})
        assert scores_of(federation.ask(training(*holders)))["helped"] == SCORES
        assert len(list(federation.ask(training("after")))) == 1


@pytest.mark.ci
def test_an_answer_is_given_on_while_another_site_trains(tmp_path: Path) -> None:
    holders = {"awaiting": 0, "b": 1}
    with two_workers(tmp_path, holders) as pool:
        answers = WorkerFederation(pool, holders).ask(training(*holders))
        assert next(answers).site == "b"
        (tmp_path / "release").touch()
        assert [answer.site for answer in answers] == ["awaiting"]


@pytest.mark.ci
def test_nobody_scores_under_secure_aggregation_or_for_a_baseline(tmp_path: Path) -> None:
    holders = {"a": 0, "helped": 1}
    with two_workers(tmp_path, holders) as pool:
        federation = WorkerFederation(pool, holders)
        for tasks in (training(*holders, attempt=1), training(*holders, namespace="local"), training("helped")):
            assert scores_of(federation.ask(tasks))["helped"] == replace(SCORES, why="scored by its own worker")
    assert not (tmp_path / "helped-scored").exists()


@pytest.mark.ci
def test_a_helper_that_is_killed_ends_the_run(tmp_path: Path) -> None:
    """The site goes on by itself; the next task for a site of the killed worker says that it is gone."""
    holders = {"a": 0, "never": 1}

    def kill() -> None:
        wait_until((tmp_path / "never-scored").exists, "the helper begins")
        os.kill(int((tmp_path / "never-scored").read_text()), signal.SIGKILL)

    with two_workers(tmp_path, holders) as pool:
        federation = WorkerFederation(pool, holders)
        killer = threading.Thread(target=kill)
        killer.start()
        found = scores_of(federation.ask(training(*holders)))
        killer.join()
        assert found["never"] == replace(SCORES, why="scored by its own worker")
        with pytest.raises(MachineError, match="the worker of a was killed"):
            list(federation.ask(asked("a")))


@pytest.mark.ci
def test_a_killed_worker_is_one_line_and_the_others_end(tmp_path: Path) -> None:
    holders, before = {"a": 0, "killed": 1, "slow": 0}, worker_processes()

    def run() -> None:
        with two_workers(tmp_path, holders) as pool:
            federation = WorkerFederation(pool, holders)
            answers = federation.ask(asked("a", "slow"))
            assert next(answers).site == "a"
            wait_until((tmp_path / "partial").exists, "the slow site at work")
            list(federation.ask(asked("killed")))

    with pytest.raises(MachineError, match=r"the worker of killed was killed, .*run again with --resume"):
        run()
    assert worker_processes() == before
    assert not (tmp_path / "partial").exists()
    assert not (tmp_path / "spool").exists()
    wait_until_free(tmp_path / "sites" / "a", 0)
