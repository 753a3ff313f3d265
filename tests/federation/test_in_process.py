"""Sites reached by calling them: faults are named, and a late answer is one."""

import time

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.federation.in_process import InProcess
from fedtune3d.federation.messages import Answer, Fault, Task


class Slow:
    """Answers after a while."""

    def answer(self, task: Task) -> Answer:
        time.sleep(0.05)
        return Answer("B")


class Broken:
    """Raises the user's error."""

    def answer(self, task: Task) -> Answer:
        raise InputError("no such folder")


def test_answers_come_in_the_order_of_names() -> None:
    federation = InProcess({"B": Slow(), "A": Slow()})
    assert federation.sites == ("A", "B")
    assert [reply.site for reply in federation.ask({"B": Task("score", 1), "A": Task("score", 1)})] == ["B", "B"]


def test_a_late_answer_is_a_fault() -> None:
    (reply,) = InProcess({"B": Slow()}).ask({"B": Task("train", 1, deadline_seconds=0.01)})
    assert isinstance(reply, Fault)
    assert "over the deadline of 0.01 s" in reply.reason


def test_a_users_error_is_a_fault_in_a_round_and_goes_up_outside() -> None:
    federation = InProcess({"A": Broken()})
    (reply,) = federation.ask({"A": Task("train", 1)})
    assert reply == Fault("A", "no such folder")
    with pytest.raises(InputError, match="no such folder"):
        list(federation.ask({"A": Task("plan")}))
