"""The definition of a kind of task, which its module exposes as `KIND`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from fedtune3d.federation.messages import Answer, Instruction, Payload, Task
from fedtune3d.federation.privacy.declarations import (
    AnswerDeclaration,
    Declaration,
    declarations_of,
    require_nothing,
)

SiteType = TypeVar("SiteType", contravariant=True)


@dataclass(frozen=True)
class TaskKind(Generic[SiteType]):
    """A kind of task.

    Attributes:
        instruction: The type of the instruction.
        payload: The type of the answer's values.
        handler: Carries out a task at a site.
        parts: Name of each state dict in an answer → what it reveals.
        contents: What an answer says about people, in words for the approval screen; updates are named there anyway.
        require_declared: An additional check of an answer; raises `TypeError`.
        max_json_bytes: Maximum length of the JSON text of an answer; a longer one is refused unread.
        max_tensor_bytes: Maximum size of an answer's tensors, refused before they are copied; None where it follows
            from the size of the task's.
    """

    instruction: type[Instruction]
    payload: type[Payload]
    handler: Callable[[SiteType, Task], Answer]
    parts: Mapping[str, Declaration] = field(default_factory=dict)
    contents: str = field(kw_only=True)
    require_declared: Callable[[Task, Answer], None] = require_nothing
    max_json_bytes: int = 1 << 20
    max_tensor_bytes: int | None = None

    @property
    def declaration(self) -> AnswerDeclaration:
        """The declarations of the answers. Raises `TypeError` if a field has none."""
        fields = declarations_of(self.payload)
        return AnswerDeclaration(self.payload, fields, self.parts, self.require_declared, self.contents)
