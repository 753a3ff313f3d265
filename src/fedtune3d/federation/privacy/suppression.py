"""Suppression: an answer leaves without the fields about too few people, without any numbers, or not at all."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from pydantic import BaseModel

from fedtune3d.federation.messages import Answer
from fedtune3d.federation.privacy.declarations import (
    EVERY_PART,
    AnswerDeclaration,
    CountedBy,
    Declaration,
    IfFew,
    Reveals,
    default_of,
)
from fedtune3d.federation.privacy.refusal import Refusal

Payload = TypeVar("Payload", bound=BaseModel)


def suppress(
    kind: str, payload: Payload, parts: Iterable[str], declared: AnswerDeclaration, min_people: int
) -> Payload:
    """Replace each field about fewer than `min_people` people by its default, if its declaration allows that.

    Args:
        kind: The kind of task, for messages.
        payload: The values of the answer.
        parts: The names of its state dicts.
        declared: What the fields and parts reveal, and about how many people.
        min_people: The policy's minimum.

    Raises:
        Refusal: If a field or part about too few people cannot be held back alone.
    """
    for part in parts:
        declaration = declared.parts.get(part, declared.parts.get(EVERY_PART))
        if declaration is not None and _has_few(payload, declaration, min_people):
            raise _refusal(kind, min_people)
    held_back: dict[str, object] = {}
    for name, declaration in declared.fields.items():
        if not _has_few(payload, declaration, min_people) or _is_default(payload, name):
            continue
        if _may_be_held_back(declaration):
            held_back[name] = default_of(payload, name)
        else:
            raise _refusal(kind, min_people)
    return payload.model_copy(update=held_back) if held_back else payload


def withhold(answer: Answer, declared: AnswerDeclaration, why: str) -> Answer:
    """Replace all fields about people by their defaults, and drop all state dicts but the tensors of an update.

    Args:
        answer: The site's answer.
        declared: Declarations of its fields and parts.
        why: The reason, for kinds that give one.
    """
    hidden = {
        name: default_of(answer.payload, name)
        for name, declaration in declared.fields.items()
        if declaration.reveals is not Reveals.NOTHING
    }
    if "why" in declared.fields:
        hidden["why"] = why
    parts = {
        part: state
        for part, state in answer.parts.items()
        if declared.parts.get(part, declared.parts.get(EVERY_PART, _UNDECLARED)).reveals in UPDATES
    }
    return replace(answer, payload=answer.payload.model_copy(update=hidden), parts=parts)


def reveals_numbers(answer: Answer, declared: AnswerDeclaration) -> bool:
    """Return whether an answer holds anything that `withhold` would remove."""
    kept = withhold(answer, declared, "")
    return (
        any(
            getattr(kept.payload, name) != getattr(answer.payload, name)
            for name, declaration in declared.fields.items()
            if declaration.reveals is not Reveals.NOTHING
        )
        or kept.parts.keys() != answer.parts.keys()
    )


UPDATES = (Reveals.TENSOR, Reveals.MASKED)
_UNDECLARED = Declaration(Reveals.IDENTIFIER, None)


def _has_few(payload: BaseModel, declaration: Declaration, min_people: int) -> bool:
    counted = declaration.people
    return isinstance(counted, CountedBy) and (getattr(payload, counted.field) or 0) < min_people


def _may_be_held_back(declaration: Declaration) -> bool:
    return isinstance(declaration.people, CountedBy) and declaration.people.if_few is IfFew.HOLD_BACK


def _is_default(payload: BaseModel, name: str) -> bool:
    field = type(payload).model_fields[name]
    return not field.is_required() and bool(getattr(payload, name) == default_of(payload, name))


def _refusal(kind: str, min_people: int) -> Refusal:
    return Refusal(f"policy.min_people is {min_people}, but the answer to {kind} is about fewer people")
