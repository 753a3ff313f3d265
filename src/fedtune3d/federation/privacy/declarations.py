"""Declarations of what each field of an answer reveals, and about how many people; undeclared fields do not leave."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from pydantic import BaseModel

from fedtune3d.federation.messages import Answer, Task


class Reveals(Enum):
    """The kind of information that a field reveals."""

    NOTHING = "nothing about people"
    IDENTIFIER = "an identifier"
    COUNT = "a count"
    STATISTIC = "a statistic"
    TENSOR = "a tensor of an update"
    MASKED = "a masked tensor, which shows nothing but its part in a sum over sites"
    IMAGE = "an image"


class IfFew(Enum):
    """The gate's treatment of a field about fewer people than the policy's `min_people`."""

    REFUSE = "refuse the answer"
    HOLD_BACK = "send the field's default in its place"


@dataclass(frozen=True)
class CountedBy:
    """Counted by another field of the same answer.

    Attributes:
        field: The name of that field, which holds a number of people, or None if there is nothing to count.
        if_few: What happens if this number is below the policy's `min_people`.
    """

    field: str
    if_few: IfFew = IfFew.REFUSE


@dataclass(frozen=True)
class AtLeast:
    """At least as many people as a key of the site's policy requires."""

    policy_key: str


@dataclass(frozen=True)
class Exactly:
    """Exactly this number of people."""

    people: int


@dataclass(frozen=True)
class Declaration:
    """The information that a field reveals.

    Attributes:
        reveals: The kind of information.
        people: The number of people that it is about; None if about nobody.
        meaning: What the field is, in words for the site's log; empty if its name says it.
    """

    reveals: Reveals
    people: CountedBy | AtLeast | Exactly | None
    meaning: str = ""


@dataclass(frozen=True)
class AnswerDeclaration:
    """The permitted contents of answers to a kind of task.

    Attributes:
        payload: The type of the answer's values.
        fields: Dotted path of each field → what it reveals.
        parts: Name of each state dict → what it reveals.
        require_declared: An additional check of an answer; raises `TypeError`.
        contents: What they say about people, in words for the approval screen; empty if nothing.
    """

    payload: type[BaseModel]
    fields: Mapping[str, Declaration]
    parts: Mapping[str, Declaration]
    require_declared: Callable[[Task, Answer], None]
    contents: str


def require_nothing(task: Task, answer: Answer) -> None:
    """Accept every answer: for kinds that need no check beyond the declared fields and parts."""


NOTHING = Declaration(Reveals.NOTHING, None)
"""Declaration of a field that reveals nothing about people: about software or hardware, or a reason in fixed words."""


def declarations_of(answer: type[BaseModel]) -> dict[str, Declaration]:
    """Read the declarations of an answer's type.

    A field has a `Declaration` in its `Annotated` metadata, or is a model whose fields all have one.

    Returns:
        Dotted path → declaration.

    Raises:
        TypeError: If a field has no declaration, reveals something about people but has no default that can leave
            instead, or counts people by a field that does not exist.
    """
    declarations = dict(_walk(answer, ""))
    for path, declaration in declarations.items():
        if isinstance(declaration.people, CountedBy) and declaration.people.field not in declarations:
            raise TypeError(f"{answer.__name__}.{path}: counts people by {declaration.people.field!r}, not a field")
    return declarations


def require_declared_parts(name: str, declared: Mapping[str, Declaration], parts: Iterable[str]) -> None:
    """Check that every part of an answer is declared; `EVERY_PART` declares all. Raises `TypeError`."""
    if EVERY_PART not in declared and (unknown := sorted(set(parts) - declared.keys())):
        raise TypeError(f"{name}: no declaration for the part {', '.join(unknown)}")


def default_of(payload: BaseModel, name: str) -> object:
    """A field's default, which leaves in the place of what is held back."""
    return type(payload).model_fields[name].get_default(call_default_factory=True, validated_data={})


EVERY_PART = "*"
"""Name that stands for every part, in kinds of task whose state dicts depend on the aggregation rule."""


def _walk(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, Declaration]]:
    for name, field in model.model_fields.items():
        declarations = [entry for entry in field.metadata if isinstance(entry, Declaration)]
        if declarations:
            if declarations[0].reveals is not Reveals.NOTHING and field.is_required():
                raise TypeError(f"{model.__name__}.{name}: no default, so it cannot be withheld")
            yield prefix + name, declarations[0]
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _walk(field.annotation, f"{prefix}{name}.")
        else:
            raise TypeError(f"{model.__name__}.{name}: no declaration of what it reveals, so it cannot leave a site")
