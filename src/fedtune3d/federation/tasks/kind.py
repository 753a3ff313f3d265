"""The declaration of a kind of task, which its module holds under the name `KIND`."""

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
        instruction: The type of what is asked.
        payload: The type of what is answered.
        handler: Carries a task out at a site.
        parts: What each state dict of an answer reveals, by part.
        require_declared: A further check of what an answer to a task may hold; raises `TypeError`.
    """

    instruction: type[Instruction]
    payload: type[Payload]
    handler: Callable[[SiteType, Task], Answer]
    parts: Mapping[str, Declaration] = field(default_factory=dict)
    require_declared: Callable[[Task, Answer], None] = require_nothing

    @property
    def declaration(self) -> AnswerDeclaration:
        """What its answers reveal. Raises `TypeError` where a field does not declare it."""
        return AnswerDeclaration(self.payload, declarations_of(self.payload), self.parts, self.require_declared)
