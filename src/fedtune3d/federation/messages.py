"""Tasks and answers: all that goes to a site and all that comes back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State, state_bytes

LOCAL = "local"
LEAVE_ONE_SITE_OUT = "leave_one_site_out"


def without(site: str) -> str:
    """The namespace of the leave-one-site-out baseline that trains without a site."""
    return f"without-{site}"


class _Message(BaseModel):
    """JSON values of a message: strictly typed, nothing unknown, no NaN, unchanged after validation."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Instruction(_Message):
    """What a kind of task asks of a site.

    Class attributes:
        kind: The kind's name, which is that of its module in ``federation/tasks/``.
    """

    kind: ClassVar[str]


class Payload(_Message):
    """What a kind of task is answered with. Every field declares what it reveals (`privacy/declarations.py`)."""


AnyInstruction = TypeVar("AnyInstruction", bound=Instruction)
AnyPayload = TypeVar("AnyPayload", bound=Payload)


@dataclass(frozen=True)
class Task:
    """A task for a site.

    Attributes:
        instruction: What to do; its type is the kind of task.
        round: The round it belongs to, from 1; 0 outside the rounds.
        parts: State dicts that come with it: ``"state"``, the global state, and what a rule adds.
        memory_version: The round whose memory the site starts from: the last one that the server accepted from it;
            None for none.
        oldest_version: The oldest memory that a later task may name; older ones can be removed. None to keep all.
        deadline_seconds: Seconds after which the answer is no longer wanted, checked between batches; None for never.
        namespace: Whose memory the site uses: ``""``, the federation's; `LOCAL`, that of the local baseline; or, as
            `without` names it, that of a leave-one-site-out baseline.
    """

    instruction: Instruction
    round: int = 0
    parts: Mapping[str, State] = field(default_factory=dict)
    memory_version: int | None = None
    oldest_version: int | None = None
    deadline_seconds: float | None = None
    namespace: str = ""

    @property
    def kind(self) -> str:
        """The name of the kind of task."""
        return self.instruction.kind

    def expect(self, kind: type[AnyInstruction]) -> AnyInstruction:
        """The instruction, known to be of a type. Raises `TypeError` where it is another."""
        if not isinstance(self.instruction, kind):
            raise TypeError(f"expected {kind.__name__}, got {type(self.instruction).__name__}")
        return self.instruction


@dataclass(frozen=True)
class Answer:
    """What a site sends back: a payload, and state dicts by part."""

    site: str
    payload: Payload
    parts: Mapping[str, State] = field(default_factory=dict)

    def expect(self, kind: type[AnyPayload]) -> AnyPayload:
        """The payload, known to be of a type. Raises `InputError` where it is another."""
        if not isinstance(self.payload, kind):
            raise InputError(f"site {self.site}: expected {kind.__name__}, got {type(self.payload).__name__}")
        return self.payload


@dataclass(frozen=True)
class Fault:
    """A site that did not answer, and why, in one line."""

    site: str
    reason: str


def answer_of(reply: Answer | Fault) -> Answer:
    """The answer to a task outside the rounds. Raises `InputError` where there is none: the run cannot continue."""
    if isinstance(reply, Fault):
        raise InputError(f"site {reply.site}: {reply.reason}; mend it and run again with --resume")
    return reply


class Federation(Protocol):
    """A way to reach the sites."""

    @property
    def sites(self) -> tuple[str, ...]:
        """The names of the sites, sorted."""
        ...

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        """Send each named site its task; yield one answer or fault per site, as they arrive, in any order."""
        ...


class Answering(Protocol):
    """Anything that answers tasks: a site, or several pooled."""

    def answer(self, task: Task) -> Answer:
        """Carry out the task and return the answer."""
        ...


@dataclass(frozen=True)
class Part:
    """Some sites of a federation, which work in the namespace of a baseline."""

    federation: Federation
    sites: tuple[str, ...]
    namespace: str

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        """Send the sites their tasks, under the namespace."""
        return self.federation.ask({site: replace(task, namespace=self.namespace) for site, task in tasks.items()})


def parts_bytes(parts: Mapping[str, State]) -> int:
    """The bytes of all state dicts of a message."""
    return sum(state_bytes(state) for state in parts.values())


def answers_of_all(federation: Federation, task: Task) -> list[Answer]:
    """The answers of all sites to one task outside the rounds, in the order of their names.

    Raises:
        InputError: If a site has none.
    """
    replies = federation.ask(dict.fromkeys(federation.sites, task))
    return sorted((answer_of(reply) for reply in replies), key=lambda answer: answer.site)
