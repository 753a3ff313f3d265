"""What Flower hands over in place of an answer: an error, what is no message, or nothing."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

pytest.importorskip("flwr")

from flwr.app import Error, Message

from fedtune3d.federation.flower.grid_federation import GridFederation
from fedtune3d.federation.flower.private_api import TaskIdentity
from fedtune3d.federation.flower.wire import Occasion
from fedtune3d.federation.messages import Answer, Fault, Task
from fedtune3d.federation.tasks.count_scans import CountScans
from fedtune3d.federation.tasks.score import Score


@pytest.fixture(autouse=True)
def _in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower makes messages only in a process that belongs to a run."""
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


@dataclass
class ScriptedGrid:
    """The grid of a server to which the sites A, B and C are connected; what they send is scripted."""

    reply: Callable[[Message], Message]

    def get_nodes(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(node_id=number, name=name) for number, name in enumerate("ABC")]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        (self.sent,) = messages
        return [f"message to {self.sent.metadata.dst_node_id}"]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterator[Message]:
        yield self.reply(self.sent)


def asked(reply: Callable[[Message], Message], task: Task) -> list[Answer | Fault]:
    occasion = Occasion({"name": "x"}, "0" * 64, None)
    return list(GridFederation(ScriptedGrid(reply), "ABC", lambda: occasion).ask({"B": task}))  # type: ignore[arg-type]


HOSTILE = "\x1b[2J\x07mended\nsite A: fine\u202e" + "x" * 5000


def test_the_reason_of_an_error_is_one_printable_line() -> None:
    (fault,) = asked(lambda sent: Message(Error(code=1, reason=HOSTILE), reply_to=sent), Task(CountScans()))
    assert isinstance(fault, Fault)
    assert fault.site == "B"
    assert fault.reason.startswith("Flower: \\x1b[2J\\x07mended site A: fine\\u202exx")
    assert fault.reason.isprintable()
    assert len(fault.reason) == 2000


def test_what_is_no_message_is_a_fault_of_its_site() -> None:
    def broken(sent: Message) -> Message:
        raise ValueError(HOSTILE)

    (fault,) = asked(broken, Task(CountScans()))
    assert fault == Fault("B", "the reply is not a valid Flower message (ValueError)")


def test_a_site_that_says_nothing_is_waited_for_until_the_deadline() -> None:
    class SilentGrid(ScriptedGrid):
        def pull_messages(self, message_ids: Iterable[str]) -> Iterator[Message]:
            return iter(())

    grid = SilentGrid(lambda sent: sent)
    occasion = Occasion({"name": "x"}, "0" * 64, None)
    task = Task(Score(), 1, {"state": {}}, deadline_seconds=0.1)
    (fault,) = GridFederation(grid, "ABC", lambda: occasion).ask({"B": task})  # type: ignore[arg-type]
    assert fault == Fault("B", "did not answer within the deadline of 0.1 s")
