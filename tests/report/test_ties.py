"""A tie is a result: it is said in words, in cells too, and once of all that tie."""

from fedtune3d.evaluation.estimate import NO_VARIANCE, defined, undefined
from fedtune3d.evaluation.paired import SAME_RANKING
from fedtune3d.evaluation.regression.paired import EQUAL
from fedtune3d.report.first_screen import against, with_ties_merged
from fedtune3d.report.number_formatting import difference
from fedtune3d.report.ties import tie, tie_cell

SHOWN = defined(0.1, (0.02, 0.2), "m", few=False)


def test_a_tie_is_no_missing_result() -> None:
    assert tie(undefined(SAME_RANKING)) == "both rank the test people identically"
    assert tie(undefined("one class only")) == tie(SHOWN) == ""
    assert against("local", undefined(SAME_RANKING), "").difference == "tie: both rank the test people identically"


def test_a_cell_names_the_tie_and_keeps_other_reasons() -> None:
    assert difference(undefined(SAME_RANKING)) == "tie (same ranking)"
    assert difference(undefined(EQUAL), "years") == "tie (same errors)"
    assert difference(undefined("one class only")) == "not defined: one class only"
    assert difference(undefined(NO_VARIANCE)) == "not defined: the estimated variance of the difference is 0"
    assert tie_cell(SHOWN) == tie_cell(undefined(NO_VARIANCE)) == ""


def test_ties_are_listed_once() -> None:
    found = [
        against("runner-up", undefined(SAME_RANKING), ""),
        against("centralized", SHOWN, "better"),
        against("local", undefined(SAME_RANKING), ""),
        against("leave one site out", undefined("one class only"), ""),
    ]
    merged = with_ties_merged(found)
    assert [one.title for one in merged] == ["runner-up and local", "centralized", "leave one site out"]
    assert merged[0].difference == "tie: both rank the test people identically"
    assert merged[1:] == [found[1], found[3]]
