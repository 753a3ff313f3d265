"""Every value of every kind of answer is bounded, where it is made and where it arrives."""

import pytest
from pydantic import ValidationError

from fedtune3d.cohorts.flow import ByClass, Counts, Flow
from fedtune3d.federation.message_bounds import MAX_TEXT, require_bounded
from fedtune3d.federation.tasks.assign_splits import SplitFlow
from fedtune3d.federation.tasks.describe_features import FeatureDescription
from fedtune3d.federation.tasks.profile_intensities import IntensityProfile


@pytest.mark.parametrize("text", ["x" * (MAX_TEXT + 1), "a\nb", "\x1b[2J", "\u202e"])
def test_texts_are_printable_lines(text: str) -> None:
    with pytest.raises(ValidationError, match="why: expected a line of at most 500 characters"):
        FeatureDescription(why=text)


def test_integers_have_as_many_digits_as_json_keeps() -> None:
    assert IntensityProfile(people=2**53).people == 2**53
    with pytest.raises(ValidationError, match="people: expected an integer of at most"):
        IntensityProfile(people=2**53 + 1)


def test_numbers_inside_of_others_are_found() -> None:
    with pytest.raises(ValidationError, match=r"density\.1: expected a number of at most 1e\+100"):
        IntensityProfile(density=(0.5, 1e200))


def test_names_are_bounded_as_texts() -> None:
    nobody = Counts(0, 0)
    flow = Flow(nobody, (), nobody, nobody, {"all": ByClass((nobody, nobody)), "x" * 501: ByClass((nobody, nobody))})
    with pytest.raises(ValidationError, match="expected a line of at most 500 characters"):
        SplitFlow(flow=flow)


def test_what_is_no_value_is_refused() -> None:
    with pytest.raises(ValueError, match="no value of a message: object"):
        require_bounded(IntensityProfile.model_construct(people=object()))
