"""What a site's policy accepts."""

import pytest
from pydantic import ValidationError

from fedtune3d.config.policy import Policy


def test_by_default_class_sums_need_five_people() -> None:
    assert (Policy().min_per_class, Policy().min_people) == (5, 1)


def test_unknown_heads_are_refused_with_the_nearest_name() -> None:
    assert Policy(heads=("linear", "resnet18", "ncc")).heads == ("linear", "resnet18", "ncc")
    with pytest.raises(ValidationError, match="unknown name 'linaer', did you mean 'linear'"):
        Policy(heads=("linaer",))


@pytest.mark.parametrize("hours", ["19:00-7:00", "24:00-07:00", "19:00", "19:00-07:60"])
def test_hours_are_two_times_of_a_day(hours: str) -> None:
    assert Policy(hours="19:00-07:00").hours == "19:00-07:00"
    with pytest.raises(ValidationError, match="hours"):
        Policy(hours=hours)


@pytest.mark.parametrize(
    ("key", "value"), [("max_payload_mb", float("inf")), ("max_rounds", 0), ("min_people", 0), ("min_per_class", 10**9)]
)
def test_bounds_have_a_finite_range(key: str, value: float) -> None:
    with pytest.raises(ValidationError, match=key):
        Policy.model_validate({key: value})
