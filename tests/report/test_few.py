from fedtune3d.evaluation.estimate import defined, undefined
from fedtune3d.report.few import few_note

FEW, MANY = (defined(0.8, (0.7, 0.9), "m", few=few) for few in (True, False))


def test_rows_with_few_people_are_named_once() -> None:
    assert few_note([("A", [FEW, FEW]), ("B", [MANY, None]), ("C", [undefined("none"), FEW])]) == (
        "Fewer than 10 people in a class: A, C."
    )
    assert few_note([("A", [FEW]), ("A", [FEW]), ("B", [MANY])]) == "Fewer than 10 people in a class: A."


def test_all_rows_are_not_listed_and_none_is_no_note() -> None:
    assert few_note([("A", [FEW]), ("B", [MANY])], by_class=False) == "Fewer than 10 people: A."
    assert few_note([("A", [FEW]), ("B", [FEW, MANY])]) == "Fewer than 10 people in a class: all rows."
    assert few_note([("A", [MANY]), ("B", [None])]) == few_note([]) == ""
