"""The line for tables of which no row can be used names the key to correct, and the values that the column has."""

import pytest

from fedtune3d.cohorts.inclusion import Included, Wanted
from fedtune3d.cohorts.label_expressions import Row
from fedtune3d.cohorts.labels import ClassMapping, LabelMapping
from fedtune3d.cohorts.nobody_usable import empty_classes, nobody_usable
from fedtune3d.cohorts.number_column import NumberColumn
from fedtune3d.evaluation.outcome import NumberOutcome

AGE = NumberColumn(NumberOutcome("age", 40, 100, "years", "leave_out"))
TWO = LabelMapping(positive=("ad",), negative=("HC",))
ROWS: list[Row] = [
    {"diagnosis": "CN", "age": "63", "mmse": None},
    {"diagnosis": "CN", "age": "71", "mmse": None},
    {"diagnosis": "AD", "age": "80", "mmse": None},
]


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        (
            Included(AGE, "diagnosis == cn"),
            "nobody meets include: diagnosis == cn; the column diagnosis has AD (1), CN (2); did you mean 'CN'? "
            "Correct include",
        ),
        (
            Included(TWO, "diagnosis == SCD and age >= 60"),
            "nobody meets include: diagnosis == SCD and age >= 60; the column diagnosis has AD (1), CN (2); the column "
            "age has 63 (1), 71 (1), 80 (1); correct include",
        ),
        (
            Included(TWO, "mmse >= 24"),
            "nobody meets include: mmse >= 24; the column mmse is empty; correct include",
        ),
        (
            Included(NumberColumn(NumberOutcome("mmse", 0, 30, "points", "leave_out")), "diagnosis == CN"),
            "expected numbers in the column mmse among the 2 who meet include: diagnosis == CN, found none; fill "
            "them in, or correct target.column",
        ),
        (
            TWO,
            "expected positive (ad) or negative (HC), found diagnosis AD: 1, diagnosis CN: 2; did you mean 'AD'? "
            "Correct the labels",
        ),
        (
            Included(ClassMapping({"young": "age < 40", "old": "age > 90"}), "diagnosis == AD"),
            "expected young (age < 40) or old (age > 90) among the 1 who meet include: diagnosis == AD, found in "
            "none of the classes: 1; correct the labels",
        ),
    ],
)
def test_the_line_names_the_key_and_the_values(wanted: Wanted, line: str) -> None:
    assert nobody_usable(ROWS, wanted) == line


def test_many_values_are_not_listed_one_by_one() -> None:
    rows: list[Row] = [{"diagnosis": f"d{number}", "age": "60"} for number in range(9)]
    line = nobody_usable(rows, Included(AGE, "diagnosis == CN"))
    assert "the column diagnosis has 9 different values, such as d0 and d8; correct include" in line


def test_an_empty_table_has_nobody_to_correct() -> None:
    assert "found no participant; add the site's people" in nobody_usable([], AGE)


@pytest.mark.parametrize(
    ("wanted", "lines"),
    [
        (LabelMapping(positive=("AD",), negative=("CN", "HC")), ()),
        (AGE, ()),
        (
            LabelMapping(positive=("ad",), negative="diagnosis == CN"),
            (
                "nobody meets labels.positive: ad; the column diagnosis has AD (1), CN (2); did you mean 'AD'? Correct "
                "the labels, unless the site has no such people",
            ),
        ),
        (
            Included(ClassMapping({"CN": ("CN",), "MCI": "mmse < 26", "AD": ("AD",)}), "age < 75"),
            (
                "nobody meets labels.MCI: mmse < 26; the column mmse is empty; correct the labels, unless the site has "
                "no such people",
                "nobody meets labels.AD: AD; the column diagnosis has AD (1), CN (2); correct the labels, unless the "
                "site has no such people",
            ),
        ),
    ],
)
def test_a_class_without_anybody_names_its_words_and_those_of_the_column(
    wanted: Wanted, lines: tuple[str, ...]
) -> None:
    assert empty_classes(ROWS, [], wanted) == lines


def test_the_labels_of_a_site_are_named_where_they_decide() -> None:
    of_site = " of site A"
    assert nobody_usable(ROWS, TWO, of_site).endswith("did you mean 'AD'? Correct the labels of site A")
    (line,) = empty_classes(ROWS, [], LabelMapping(positive=("ad",), negative=("CN",)), of_site)
    assert line.startswith("nobody meets labels.positive of site A: ad; ")
    assert line.endswith("Correct the labels of site A, unless the site has no such people")


def test_people_whose_sessions_have_other_labels_are_in_their_class() -> None:
    wanted = LabelMapping(positive=("AD",), negative=("HC",))
    assert empty_classes(ROWS, [{"diagnosis": "HC"}], wanted) == ()
