"""Sites reached by calling them: faults are named, a late answer is one, and an error in code is none."""

import errno
import time
from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError, StorageError
from fedtune3d.federation.in_process import InProcess
from fedtune3d.federation.messages import Answer, Fault, Task
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.tasks.count_scans import CountScans
from fedtune3d.federation.tasks.score import Score, ScoreAnswer
from fedtune3d.training.faults import SiteFault
from fedtune3d.training.scores import Scores

SCORES = ScoreAnswer(received=Scores(None, None, None, 0, "no scans"))


class Named:
    """Answers under its name, after a while."""

    def __init__(self, name: str, seconds: float = 0.0) -> None:
        self.name, self.seconds = name, seconds

    def answer(self, task: Task) -> Answer:
        time.sleep(self.seconds)
        return Answer(self.name, SCORES)


class Raising:
    """Raises an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def answer(self, task: Task) -> Answer:
        raise self.error


def test_answers_come_in_the_order_of_names() -> None:
    federation = InProcess({name: Named(name) for name in ("C", "A", "B")})
    assert federation.sites == ("A", "B", "C")
    asked = {name: Task(Score(), 1) for name in ("B", "C", "A")}
    assert [reply.site for reply in federation.ask(asked)] == ["A", "B", "C"]


def test_a_late_answer_is_a_fault() -> None:
    (reply,) = InProcess({"B": Named("B", 0.05)}).ask({"B": Task(Score(), 1, deadline_seconds=0.01)})
    assert isinstance(reply, Fault)
    assert "over the deadline of 0.01 s" in reply.reason


def test_a_refusal_is_a_fault_in_a_round_and_is_raised_outside() -> None:
    federation = InProcess({"A": Raising(Refusal("policy.max_rounds is 2"))})
    (reply,) = federation.ask({"A": Task(Score(), 1)})
    assert reply == Fault("A", "policy.max_rounds is 2")
    with pytest.raises(Refusal, match=r"policy\.max_rounds is 2"):
        list(federation.ask({"A": Task(CountScans())}))


@pytest.mark.parametrize("round_", [0, 1])
def test_a_users_error_stops_the_run(round_: int) -> None:
    federation = InProcess({"A": Raising(InputError("no such folder")), "B": Named("B")})
    with pytest.raises(InputError, match="no such folder"):
        list(federation.ask(dict.fromkeys(federation.sites, Task(Score(), round_))))


def test_a_site_that_cannot_leaves_the_others_at_work() -> None:
    federation = InProcess({"A": Raising(SiteFault("loss is NaN in batch 3")), "B": Named("B")})
    fault, answer = federation.ask(dict.fromkeys(federation.sites, Task(Score(), 1)))
    assert fault == Fault("A", "loss is NaN in batch 3")
    assert answer.site == "B"


def test_an_error_in_code_is_raised_at_once_with_its_traceback() -> None:
    federation = InProcess({"A": Raising(AttributeError("'Head' has no attribute 'wieght'")), "B": Named("B")})
    with pytest.raises(AttributeError, match="wieght") as raised:
        list(federation.ask(dict.fromkeys(federation.sites, Task(Score(), 1))))
    assert raised.traceback[-1].name == "answer"


def test_a_full_disk_here_does_not_pass_for_an_absent_site() -> None:
    full = StorageError(Path("cache/features"), OSError(errno.ENOSPC, "No space left on device"))
    federation = InProcess({"A": Raising(full), "B": Named("B")})
    with pytest.raises(StorageError, match=r"cache/features: No space left on device; free some space"):
        list(federation.ask(dict.fromkeys(federation.sites, Task(Score(), 1))))
