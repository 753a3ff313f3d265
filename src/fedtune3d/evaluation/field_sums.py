"""Addition of sums field by field, such as those of several sites."""

import math
from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Sums = TypeVar("Sums", bound="DataclassInstance")


def add_fields(kind: type[Sums], parts: Iterable[Sums]) -> Sums:
    """Add the fields of `parts`, which are all ``int`` or ``float``; zeros without any.

    Floating-point fields are added exactly and rounded once, so that the order of the parts does not matter.
    """
    known = list(parts)
    return kind(
        *(
            (sum if field.type is int else math.fsum)(getattr(part, field.name) for part in known)
            for field in fields(kind)
        )
    )
