"""Declarations of what each field of an answer reveals, and of how many people; a field without one does not leave."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from pydantic import BaseModel

from fedtune3d.federation.messages import Answer, Task


class Reveals(Enum):
    """What a field tells whoever reads it."""

    NOTHING = "nothing about people"
    IDENTIFIER = "an identifier"
    COUNT = "a count"
    STATISTIC = "a statistic"
    TENSOR = "a tensor of an update"
    IMAGE = "an image"


class IfFew(Enum):
    """What the gate does with a field of fewer people than the policy's `min_people`."""

    REFUSE = "refuse the answer"
    HOLD_BACK = "send the field's default in its place"


@dataclass(frozen=True)
class CountedBy:
    """As many people as another field of the same answer says.

    Attributes:
        field: The name of that field, a number of people, or None where there is nothing to count.
        if_few: What happens where they are fewer than the policy's `min_people`.
    """

    field: str
    if_few: IfFew = IfFew.REFUSE


@dataclass(frozen=True)
class AtLeast:
    """No fewer than a key of the site's policy says."""

    policy_key: str


@dataclass(frozen=True)
class Exactly:
    """A fixed number of people."""

    people: int


@dataclass(frozen=True)
class Declaration:
    """What a field reveals, and of how many people; `people` is None where it reveals nothing about any."""

    reveals: Reveals
    people: CountedBy | AtLeast | Exactly | None


@dataclass(frozen=True)
class AnswerDeclaration:
    """What a kind of task may be answered with.

    Attributes:
        payload: The type of its values.
        fields: What each field reveals, by dotted path.
        parts: What each state dict reveals, by part.
        require_declared: A further check of what an answer to a task may hold; raises `TypeError`.
    """

    payload: type[BaseModel]
    fields: Mapping[str, Declaration]
    parts: Mapping[str, Declaration]
    require_declared: Callable[[Task, Answer], None]


def require_nothing(task: Task, answer: Answer) -> None:
    """Accept every answer: the check of a kind that declares all by fields and parts."""


NOTHING = Declaration(Reveals.NOTHING, None)
"""Declares a field about the software, the machine or a reason in the program's own words."""


def declarations_of(answer: type[BaseModel]) -> dict[str, Declaration]:
    """Read the declarations of an answer's type.

    A field holds a `Declaration` in its `Annotated` metadata, or is a model whose own fields all do.

    Returns:
        Dotted path → declaration.

    Raises:
        TypeError: Where a field has no declaration, or counts people by a field that does not exist.
    """
    found = dict(_walk(answer, ""))
    for path, declaration in found.items():
        if isinstance(declaration.people, CountedBy) and declaration.people.field not in found:
            raise TypeError(f"{answer.__name__}.{path}: counts people by {declaration.people.field!r}, not a field")
    return found


def require_declared_parts(name: str, declared: Mapping[str, Declaration], parts: Iterable[str]) -> None:
    """Check that each part of an answer is declared; `EVERY_PART` declares all. Raises `TypeError`."""
    if EVERY_PART not in declared and (unknown := sorted(set(parts) - declared.keys())):
        raise TypeError(f"{name}: no declaration of the part {', '.join(unknown)}")


EVERY_PART = "*"
"""In the declared parts of a task kind: whatever state dicts the aggregation rule asks for."""


def _walk(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, Declaration]]:
    for name, field in model.model_fields.items():
        declared = [entry for entry in field.metadata if isinstance(entry, Declaration)]
        if declared:
            yield prefix + name, declared[0]
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _walk(field.annotation, f"{prefix}{name}.")
        else:
            raise TypeError(f"{model.__name__}.{name}: no declaration of what it reveals, so it cannot leave a site")
