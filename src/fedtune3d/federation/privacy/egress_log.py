"""The egress manifest: a file at the site that lists everything that left it, message by message."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import JsonValue, TypeAdapter

from fedtune3d._utils.clock import timestamp
from fedtune3d._utils.counted_ledgers import append_counted_line, read_typed_lines
from fedtune3d._utils.state_dicts import State, tensor_view
from fedtune3d._utils.typed_json import to_json
from fedtune3d.config.policy import Policy
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.federation.privacy.declarations import (
    EVERY_PART,
    AnswerDeclaration,
    AtLeast,
    CountedBy,
    Declaration,
    Exactly,
    Reveals,
    default_of,
)
from fedtune3d.federation.serialisation import flat_state, to_text

FAULT = "fault"
_JSON_OBJECT = TypeAdapter(dict[str, JsonValue])


@dataclass(frozen=True)
class SentTensor:
    """A tensor that left, without its values.

    Attributes:
        name: Part and name, ``part/name``.
        dtype: The dtype's name in torch, for example ``float32``.
        shape: Shape.
        bytes: Size in bytes.
        sha256: Hexadecimal SHA-256 of the tensor's bytes in memory.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    sha256: str


@dataclass(frozen=True)
class SentValues:
    """The values that left, in readable form, with the size and SHA-256 of their JSON text."""

    bytes: int
    sha256: str
    json: dict[str, JsonValue]

    @classmethod
    def of(cls, text: str) -> Self:
        """Create the entry for a payload's JSON text."""
        content = text.encode()
        return cls(len(content), _sha256(content), _JSON_OBJECT.validate_json(content))


@dataclass(frozen=True)
class SentField:
    """The information revealed by a field or a state dict of a message.

    Attributes:
        name: Name of the field or of the part.
        reveals: The kind of information, such as ``a count``.
        people: Number of people that it is about, such as ``31`` or ``5 or more``.
        meaning: What it is, in words; empty where the name says it.
    """

    name: str
    reveals: str
    people: str
    meaning: str = ""

    @property
    def words(self) -> str:
        """The meaning, or the name with spaces where that says it."""
        return self.meaning or self.name.replace("_", " ")


def sent_fields(declared: AnswerDeclaration, answer: Answer, policy: Policy) -> tuple[SentField, ...]:
    """List the information revealed by an answer, by field and part; fields with default values are left out."""
    payload = answer.payload
    fields = {
        name: declaration
        for name, declaration in declared.fields.items()
        if declaration.reveals is not Reveals.NOTHING and getattr(payload, name) != default_of(payload, name)
    }
    parts = {part: declared.parts.get(part, declared.parts.get(EVERY_PART)) for part in sorted(answer.parts)}
    described = {**fields, **{f"tensors {name}": part for name, part in parts.items() if part is not None}}
    return tuple(
        SentField(name, declaration.reveals.value, _people(declaration, answer, policy), declaration.meaning)
        for name, declaration in described.items()
    )


def _people(declaration: Declaration, answer: Answer, policy: Policy) -> str:
    match declaration.people:
        case CountedBy(field):
            return str(getattr(answer.payload, field) or "withheld")
        case AtLeast(key):
            return f"{getattr(policy, key)} or more"
        case Exactly(people):
            return f"{people} each"
    return ""


@dataclass(frozen=True)
class EgressEntry:
    """One message that left the site.

    Attributes:
        time: Time by the site's clock, with its offset from UTC.
        experiment: Hash of the experiment.
        kind: Kind of the task that it answers, or `FAULT`.
        round: Its round; 0 outside the rounds.
        namespace: The memory behind the answer: ``""`` for the federation's, else a baseline's.
        tensors: The tensors, sorted by name.
        values: The values; None for a fault.
        fault: The line that left instead of an answer; None for an answer.
        reason: Why it was allowed to leave.
        fields: What its fields and state dicts reveal, and of how many people.
    """

    time: str
    experiment: str
    kind: str
    round: int = 0
    namespace: str = ""
    tensors: tuple[SentTensor, ...] = ()
    values: SentValues | None = None
    fault: str | None = None
    reason: str = ""
    fields: tuple[SentField, ...] = ()

    @property
    def title(self) -> str:
        """The task that it answers, in words: ``train fedavg, round 3``; the kind if no task was counted."""
        purpose = self.reason.rpartition(": ")[0]
        words = (purpose if purpose.startswith(self.kind) else self.kind).replace("_", " ")
        return f"{words}, round {self.round}" if self.round else words

    @property
    def why(self) -> str:
        """Why it left: ``task 3 of 40 approved``; for a fault, the line that left."""
        purpose, _, count = self.reason.rpartition(": ")
        return self.fault or (f"task {count} approved" if purpose.startswith(self.kind) else self.reason)


class EgressManifest:
    """`egress.jsonl`: one line per message, on disk before the message leaves; hash-chained and counted."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(
        self, experiment: str, task: Task, answer: Answer, reason: str = "", fields: tuple[SentField, ...] = ()
    ) -> None:
        """Record an answer that is about to leave. Raises `StorageError` if it cannot be written."""
        self._append(
            EgressEntry(
                time=timestamp(),
                experiment=experiment,
                kind=task.kind,
                round=task.round,
                namespace=task.namespace,
                tensors=_sent_tensors(answer.parts),
                values=SentValues.of(to_text(answer.payload)),
                reason=reason,
                fields=fields,
            )
        )

    def record_fault(self, experiment: str, reason: str) -> None:
        """Record a fault that is about to leave instead of an answer. Raises `StorageError`, as `record`."""
        self._append(EgressEntry(time=timestamp(), experiment=experiment, kind=FAULT, fault=reason))

    def entries(self) -> list[EgressEntry]:
        """Return everything that has left so far, oldest first.

        Raises:
            DamagedFileError: If a line is not what was written (names the first such line), or if lines are lost.
        """
        return list(read_typed_lines(EgressEntry, self.path))

    def _append(self, entry: EgressEntry) -> None:
        append_counted_line(self.path, to_json(entry))


def _sent_tensors(parts: Mapping[str, State]) -> tuple[SentTensor, ...]:
    return tuple(
        SentTensor(
            name=name,
            dtype=str(tensor.dtype).removeprefix("torch."),
            shape=tuple(tensor.shape),
            bytes=tensor.numel() * tensor.element_size(),
            sha256=_sha256(tensor_view(tensor)),
        )
        for name, tensor in flat_state(parts).items()
    )


def _sha256(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()
