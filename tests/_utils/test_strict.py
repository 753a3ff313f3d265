"""The problems of a configuration are one line each: file, key, what was expected, what came."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, ValidationError

from fedtune3d._utils.strict import StrictModel, problems_of


class Bounds(StrictModel):
    min_people: Annotated[int, Field(ge=1)] = 1


class Settings(StrictModel):
    rounds: Annotated[int, Field(ge=1)]
    bounds: Bounds = Bounds()


def problems(values: dict[str, object]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(values)
    return problems_of(Path("a.yaml"), caught.value, Settings)


def test_an_unknown_key_comes_with_the_nearest_known_one() -> None:
    assert problems({"rounds": 2, "bounds": {"min_peple": 3}}) == [
        "a.yaml: bounds.min_peple: unknown key, did you mean 'min_people'? (known here: min_people)"
    ]


def test_a_key_of_version_0_1_names_the_new_one() -> None:
    assert problems({"rounds": 2, "bounds": {"least_examples": 3}}) == [
        "a.yaml: bounds.least_examples: needs fedtune3d 0.1; since 0.2 this key is `min_people`, which counts people, "
        "not scans"
    ]


def test_a_missing_key_and_a_value_out_of_range_are_reported_together() -> None:
    assert problems({"bounds": {"min_people": 0}}) == [
        "a.yaml: rounds: missing, but required",
        "a.yaml: bounds.min_people: expected at least 1, got 0",
    ]


def test_values_do_not_change_after_validation() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings(rounds=2).rounds = 3  # type: ignore[misc]
