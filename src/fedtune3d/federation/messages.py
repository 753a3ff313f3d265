"""Tasks and answers: all that goes to a site and all that comes back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State, state_bytes

LOCAL = "local"
LEAVE_ONE_SITE_OUT = "leave_one_site_out"


def without(site: str) -> str:
    """The purpose of a training without a site."""
    return f"without-{site}"


TaskKind = Literal[
    "plan",
    "split",
    "fingerprint",
    "describe",
    "profile",
    "train",
    "score",
    "evaluate",
    "feature_statistics",
    "saliency",
]


@dataclass(frozen=True)
class Task:
    """What a site is asked to do.

    Attributes:
        kind: Which of the site's tasks.
        round: The round it belongs to, from 1; 0 outside the rounds.
        parts: States that come with it by part: ``"state"``, the global state, and what a rule's local plan adds.
        values: JSON values that come with it.
        memory_version: The round whose memory the site starts from: the last one that the server accepted from it;
            None for none.
        oldest_version: The oldest memory that a later task may name; what is older can go. None to keep all.
        deadline_seconds: Seconds after which the answer is no longer wanted, checked between batches; None for never.
        namespace: Whose memory the site uses: ``""``, the federation's; `LOCAL`, that of its training alone; or, as
            `without` names it, that of the training without another site.
    """

    kind: TaskKind
    round: int = 0
    parts: Mapping[str, State] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    memory_version: int | None = None
    oldest_version: int | None = None
    deadline_seconds: float | None = None
    namespace: str = ""


@dataclass(frozen=True)
class Answer:
    """What a site sends back: states by part, and JSON values."""

    site: str
    parts: Mapping[str, State] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """A site that did not answer, and why, in one line."""

    site: str
    reason: str


def answer_of(reply: Answer | Fault) -> Answer:
    """The answer to a task outside the rounds. Raises `InputError` where there is none: the run cannot go on."""
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
        """Send each named site its task; yield one answer or fault a site, as they arrive, in any order."""
        ...


class Answering(Protocol):
    """Whatever answers tasks: a site, or several pooled."""

    def answer(self, task: Task) -> Answer:
        """Do what the task says and send back what it asks for."""
        ...


@dataclass(frozen=True)
class Part:
    """Some sites of a federation, asked for another purpose than its own."""

    federation: Federation
    sites: tuple[str, ...]
    namespace: str

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        """Send the sites their tasks, under the namespace."""
        return self.federation.ask({site: replace(task, namespace=self.namespace) for site, task in tasks.items()})


def parts_bytes(parts: Mapping[str, State]) -> int:
    """The bytes of all states of a message."""
    return sum(state_bytes(state) for state in parts.values())


def answers_of_all(federation: Federation, task: Task) -> list[Answer]:
    """The answers of all sites to one task outside the rounds, in the order of their names.

    Raises:
        InputError: If a site has none.
    """
    replies = federation.ask(dict.fromkeys(federation.sites, task))
    return sorted((answer_of(reply) for reply in replies), key=lambda answer: answer.site)
