from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedtune3d.cohorts.flow import HELD_BACK
from fedtune3d.config.class_names import ClassNames
from fedtune3d.federation.leak_audit import Finding, LeakAudit
from fedtune3d.report import write_report
from fedtune3d.report.participants import checked_sentences, participants_sentence
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


def test_leaks_and_flags_have_a_sentence_each(make_run: Callable[..., Path]) -> None:
    contents = read_run(make_run())
    audit = LeakAudit((), {})
    none = dict.fromkeys(contents.sites, 0)
    leak = Finding("leak", "sub-1 is in train and test of Graz")
    for changes, leaks, flags in (
        ({"audit": None, "flags": {}}, "were not checked for", "is known at the sites only"),
        ({"audit": audit, "flags": none}, "found no leak (", "flags no scan."),
        ({"audit": replace(audit, findings=(leak,)), "flags": none | {"Graz": 12}}, "found 1 leak (", "12 scans,"),
    ):
        first, second = checked_sentences(replace(contents, **changes))
        assert leaks in first
        assert first.endswith("(`fedtune3d check experiment.yaml`).")
        assert flags in second
        assert "fedtune3d prepare experiment.yaml" in second
        assert "qc.html" in second


@pytest.mark.ci
def test_the_page_has_them_below_participants(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    text = write_report(folder).read_text()
    section = text[text.index('id="participants"') :]
    shown = section[: section.index("</section>")].replace("<code>", "`").replace("</code>", "`")
    assert all(sentence in shown for sentence in checked_sentences(read_run(folder)))


def test_what_is_held_back_is_not_added_up(make_run: Callable[..., Path]) -> None:
    contents = read_run(make_run())
    graz = contents.flows["Graz"]
    hidden = replace(graz, found=HELD_BACK, included=HELD_BACK)
    contents = replace(contents, flows=dict.fromkeys(contents.sites, graz) | {"Lagos": hidden})
    text = participants_sentence(contents, NAMES)
    assert text.startswith("Found (held back); excluded 48 people; included (held back): training 60 AD")
