from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fedtune3d._utils.folders import RunFolder
from fedtune3d.cohorts.flow import EVERY_CLASS_HELD_BACK
from fedtune3d.report.first_screen import first_screen
from fedtune3d.report.run_contents import RunContents, read_run
from fedtune3d.report.split_sizes import SplitSize, people_in, people_text, size_text


def only(contents: RunContents, *sites: str) -> RunContents:
    sections = [section for section in contents.config["sites"] if section["name"] in sites]
    return replace(contents, config=contents.config | {"sites": sections})


def test_the_first_screen_says_who_trained(small_run: RunFolder) -> None:
    contents = read_run(small_run.path)
    train, validation = (people_in(contents, split).people for split in ("train", "validation"))
    assert train is not None
    assert validation is not None
    expected = f"{sum(train)} people ({train[1]} AD, {train[0]} CN); {sum(validation)} others for model selection"
    result = first_screen(contents, contents.names).result
    assert result is not None
    assert dict(result.facts)["Trained on"] == expected


def test_the_people_of_one_stratum_are_not_divided() -> None:
    assert size_text((12,), ("people",)) == "12 people"
    assert size_text((0, 1), ("CN", "AD")) == "1 person (1 AD, 0 CN)"


def test_people_of_numeric_classes_are_added_up_before_they_are_listed() -> None:
    text = people_text(SplitSize((12, 9, 3), ("0", "1", "2")))
    assert text == "24 people (12 of class 0, 9 of class 1 and 3 of class 2)"


def test_two_classes_are_called_by_their_diagnoses(make_run: Callable[..., Path]) -> None:
    contents = read_run(make_run())

    def sized(positive: object, negative: object) -> str:
        labels = {"positive": positive, "negative": negative}
        return people_text(
            people_in(only(replace(contents, config=contents.config | {"labels": labels}), "Boston"), "test")
        )

    assert sized(["AD"], ["CN"]) == "18 AD and 22 CN participants"
    assert sized(["1"], ["0"]) == "40 people (18 of class 1 and 22 of class 0)"
    assert sized("cdr >= 1", "cdr == 0") == "40 people (18 with cdr >= 1 and 22 with cdr == 0)"


def test_sites_are_added_up(make_run: Callable[..., Path]) -> None:
    contents = only(read_run(make_run()), "Amsterdam", "Boston")
    assert people_in(contents, "test") == SplitSize((14 + 22, 11 + 18), ("CN", "AD"))  # as the flow was drawn
    assert people_text(people_in(contents, "train")) == "30 AD and 40 CN participants"


def test_what_one_site_holds_back_is_no_part_of_a_sum(make_run: Callable[..., Path]) -> None:
    contents = only(read_run(make_run()), "Amsterdam", "Boston")
    boston = replace(contents.flows["Boston"], splits=contents.flows["Boston"].splits | {"test": EVERY_CLASS_HELD_BACK})
    hidden = people_in(replace(contents, flows=contents.flows | {"Boston": boston}), "test")
    assert hidden == SplitSize(None, ("CN", "AD"))
    assert people_text(hidden) == "a number of people that not every site lets leave"


def test_a_site_whose_flow_is_not_known_makes_the_sum_unknown(make_run: Callable[..., Path]) -> None:
    assert people_in(read_run(make_run()), "test") == SplitSize(None, ("CN", "AD"))  # Lagos has none
