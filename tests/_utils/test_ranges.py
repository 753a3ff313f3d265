"""What a field refuses, and how the line says it."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from pydantic import Field

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.ranges import BelowOne, Count, Fraction, Positive, require_valid_fields, shown


@dataclass(frozen=True)
class Options:
    count: Count = 1
    share: Fraction = 0.5
    momentum: BelowOne = 0.0
    bound: Positive | None = None
    kind: Literal["a", "b"] = "a"
    names: Annotated[tuple[Literal["x", "y"], ...], Field(min_length=1)] = ("x",)
    plain: float = 0.0

    def __post_init__(self) -> None:
        require_valid_fields(self, "options.")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("count", 0, "a whole number from 1 to 100,000"),
        ("count", 1.0, "a whole number from 1 to 100,000"),
        ("count", True, "a whole number from 1 to 100,000"),
        ("share", 1e-300, "a number from 0.000001 to 1"),
        ("momentum", 1.0, "a number from 0 to below 1"),
        ("bound", float("nan"), "a number above 0 and at most 1,000,000,000 or null"),
        ("kind", "c", "one of a, b"),
        ("names", (), "any of x, y (at least 1)"),
        ("plain", float("inf"), "a number"),
    ],
)
def test_the_line_names_the_key_what_was_expected_and_what_came(key: str, value: object, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        Options(**{key: value})  # type: ignore[arg-type]
    assert str(caught.value) == f"options.{key}: expected {expected}, got {value!r}"


def test_values_within_their_ranges_pass_as_they_are() -> None:
    options = Options(count=100_000, share=1e-6, bound=3, names=("y", "x"))
    assert (options.bound, type(options.bound)) == (3, int)


def test_a_long_value_is_shown_in_short() -> None:
    assert shown("brief") == "'brief'"
    assert shown(10**400).startswith("1000")
    assert len(shown(10**400)) < 100
    assert shown(10**5000) == "a number with thousands of digits"
