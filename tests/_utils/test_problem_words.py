"""Problems that pydantic finds, in words."""

import typing
from typing import Annotated, Literal

import pytest
from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from fedtune3d._utils.problem_words import EXPECTED, expected_words


@pytest.mark.parametrize(
    ("kind", "value", "context", "words"),
    [
        ("int_parsing", "two", {}, "expected a whole number, got 'two'"),
        ("less_than_equal", 9, {"le": 5}, "expected at most 5, got 9"),
        ("tuple_type", "fedavg", {}, "expected a list such as [fedavg], got 'fedavg'"),
        ("tuple_type", {"rule": "fedavg"}, {}, "expected a list, got {'rule': 'fedavg'}"),
        ("list_type", None, {}, "expected a list, got nothing"),
        ("list_type", True, {}, "expected a list, got True"),
        ("literal_error", "cpuu", {"expected": "'cpu' or 'cuda'"}, "expected 'cpu' or 'cuda', got 'cpuu'"),
        ("value_error", 1, {}, None),
    ],
)
def test_what_was_expected_and_what_came(kind: str, value: object, context: dict[str, str], words: str | None) -> None:
    assert expected_words(ErrorDetails(type=kind, loc=(), msg="", input=value, ctx=context)) == words


def test_every_type_is_one_of_pydantics() -> None:
    assert set(EXPECTED) - {"path_type"} <= set(typing.get_args(ErrorType))


@pytest.mark.parametrize(
    ("hint", "value", "words"),
    [
        (Annotated[int, Field(gt=3)], 3, "more than 3"),
        (Annotated[int, Field(ge=3)], 2, "at least 3"),
        (Annotated[float, Field(lt=3)], 3.0, "less than 3"),
        (Annotated[float, Field(le=1e6)], 2e6, "at most 1,000,000"),
        (Annotated[int, Field(multiple_of=8)], 3, "a multiple of 8"),
        (Annotated[str, Field(min_length=3)], "a", "a text of at least 3 characters"),
        (Annotated[str, Field(max_length=3)], "abcd", "a text of at most 3 characters"),
        (Annotated[list[int], Field(min_length=1)], [], "at least 1 in the list"),
        (Annotated[list[int], Field(max_length=1)], [1, 2], "at most 1 in the list"),
        (Literal["a", "b"], "c", "'a' or 'b'"),
        (tuple[int, ...], 4, "a list such as [4]"),
    ],
)
def test_limits_come_from_pydantic(hint: object, value: object, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(hint).validate_python(value)
    (problem,) = caught.value.errors()
    assert expected_words(problem) == f"expected {words}, got {value!r}"
