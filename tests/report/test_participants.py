from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fedtune3d.cohorts.flow import HELD_BACK
from fedtune3d.config.class_names import ClassNames
from fedtune3d.report.participants import participants_sentence
from fedtune3d.report.run_contents import read_run

NAMES = ClassNames("AD", "CN")


def test_the_flow_in_a_sentence(make_run: Callable[..., Path]) -> None:
    contents = read_run(make_run())
    assert participants_sentence(contents, NAMES) == "The numbers of people are not known here for Lagos."
    contents = replace(contents, flows=dict.fromkeys(contents.sites, contents.flows["Graz"]))
    assert participants_sentence(contents, NAMES) == (
        "Found 280 people; excluded 48 people; included 232 people: training 60 AD + 80 CN, validation 24 AD + 32 CN, "
        "test 16 AD + 20 CN."
    )
    assert participants_sentence(replace(contents, flows={}), NAMES) == "No site has been split yet."


def test_what_is_held_back_is_not_added_up(make_run: Callable[..., Path]) -> None:
    contents = read_run(make_run())
    graz = contents.flows["Graz"]
    hidden = replace(graz, found=HELD_BACK, included=HELD_BACK)
    contents = replace(contents, flows=dict.fromkeys(contents.sites, graz) | {"Lagos": hidden})
    text = participants_sentence(contents, NAMES)
    assert text.startswith("Found (held back); excluded 48 people; included (held back): training 60 AD")
