"""Tasks and answers: everything that is sent to a site and everything that comes back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State, state_bytes
from fedtune3d.federation.message_bounds import require_bounded

LOCAL = "local"
LEAVE_ONE_SITE_OUT = "leave_one_site_out"


def without(site: str) -> str:
    """Return the namespace of the leave-one-site-out baseline that leaves out `site`."""
    return f"without-{site}"


class _Message(BaseModel):
    """The JSON values of a message: strictly typed and immutable, without unknown fields or NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Instruction(_Message):
    """Base class of the instructions, one per kind of task.

    Class attributes:
        kind: The kind's name, equal to that of its module in ``federation/tasks/``.
    """

    kind: ClassVar[str]

    @property
    def purpose(self) -> str:
        """Words that set the task apart from others of its kind in a site's budget; empty where all are alike."""
        return ""

    @property
    def tested_namespace(self) -> str | None:
        """The namespace whose rounds the state in part ``"state"`` must come from; None where none is given."""
        return None


class Payload(_Message):
    """Base class of the answers' values. Every field declares what it reveals (`privacy/declarations.py`).

    The values of every kind are bounded (`message_bounds.py`), both at the site and at the server.
    """

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        require_bounded(self)
        return self


AnyInstruction = TypeVar("AnyInstruction", bound=Instruction)
AnyPayload = TypeVar("AnyPayload", bound=Payload)


@dataclass(frozen=True)
class Task:
    """A task for a site.

    Attributes:
        instruction: What to do; its type determines the kind of task.
        round: The task's round, from 1; 0 outside the rounds.
        parts: State dicts by name: ``"state"``, the global state, and others that a rule adds.
        memory_version: The version of the site's memory to start from: the round of its last accepted update; None for
            an empty memory.
        oldest_version: The oldest version that a later task may name; older ones can be deleted. None to keep all.
        deadline_seconds: Seconds after which the answer is too late, checked between batches; None for no deadline.
        namespace: The memory that the site uses: ``""`` for the federation's, `LOCAL` for the local baseline's, or the
            result of `without` for a leave-one-site-out baseline's.
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
        """Return the instruction as the given type. Raises `TypeError` if it is another."""
        if not isinstance(self.instruction, kind):
            raise TypeError(f"expected {kind.__name__}, got {type(self.instruction).__name__}")
        return self.instruction


@dataclass(frozen=True)
class Answer:
    """A site's answer: a payload, and state dicts by name."""

    site: str
    payload: Payload
    parts: Mapping[str, State] = field(default_factory=dict)

    def expect(self, kind: type[AnyPayload]) -> AnyPayload:
        """Return the payload as the given type. Raises `InputError` if it is another."""
        if not isinstance(self.payload, kind):
            raise InputError(f"site {self.site}: expected {kind.__name__}, got {type(self.payload).__name__}")
        return self.payload


@dataclass(frozen=True)
class Fault:
    """A site that did not answer, and the reason in one line."""

    site: str
    reason: str


@dataclass(frozen=True)
class RefusedAnswer(Fault):
    """A site that did answer, with something that cannot be accepted."""


def answer_of(reply: Answer | Fault) -> Answer:
    """Return a reply outside the rounds as an answer. Raises `InputError` for a fault, which stops the run."""
    if isinstance(reply, Fault):
        raise InputError(f"site {reply.site}: {reply.reason}; fix this and run again with --resume")
    return reply


class Federation(Protocol):
    """The interface to the sites, implemented by each engine."""

    @property
    def sites(self) -> tuple[str, ...]:
        """The names of the sites, sorted."""
        ...

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        """Send each named site its task; yield one answer or fault per site, as they arrive, in any order."""
        ...


class Answering(Protocol):
    """Anything that answers tasks: a site, a site behind its gate, or several sites pooled."""

    def answer(self, task: Task) -> Answer:
        """Carry out the task and return the answer."""
        ...


@dataclass(frozen=True)
class Part:
    """A subset of a federation's sites, working in the namespace of a baseline."""

    federation: Federation
    sites: tuple[str, ...]
    namespace: str

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        """Send the sites their tasks in the namespace; see `Federation.ask`."""
        return self.federation.ask({site: replace(task, namespace=self.namespace) for site, task in tasks.items()})


def parts_bytes(parts: Mapping[str, State]) -> int:
    """Return the size in bytes of all state dicts of a message."""
    return sum(state_bytes(state) for state in parts.values())


def answers_of_all(federation: Federation, task: Task) -> list[Answer]:
    """Send all sites the same task outside the rounds; return their answers, sorted by site.

    Raises:
        InputError: If a site does not answer.
    """
    replies = federation.ask(dict.fromkeys(federation.sites, task))
    return sorted((answer_of(reply) for reply in replies), key=lambda answer: answer.site)
