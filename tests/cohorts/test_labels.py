"""How a row of a table becomes a label, or the reason why it has none."""

import json

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.inclusion import Included
from fedtune3d.cohorts.labels import ClassMapping, LabelMapping
from fedtune3d.cohorts.records import Unlabelled

CDR = LabelMapping(positive="cdr >= 1", negative="cdr == 0")


def test_a_mapping_with_a_value_in_both_lists_is_refused() -> None:
    with pytest.raises(InputError, match="AD is in both positive and negative"):
        LabelMapping(positive=("AD", "MCI"), negative=("CN", "AD"))
    with pytest.raises(InputError, match=r"negative: expected at least one"):
        LabelMapping(positive=("AD",), negative=())
    with pytest.raises(InputError, match="label expression 'cdr': expected a column"):
        LabelMapping(positive="cdr", negative=("CN",))


def test_lists_of_diagnoses() -> None:
    mapping = LabelMapping(positive=("AD",), negative=("CN", "SCD"))
    assert [mapping.label({"diagnosis": value}) for value in ("AD", "CN", "SCD")] == [1, 0, 0]
    assert mapping.label({"diagnosis": "MCI"}) == Unlabelled("neither positive nor negative", "diagnosis MCI")
    assert mapping.label({"diagnosis": None}) == Unlabelled("label not known", "diagnosis missing")
    assert mapping.columns == ("diagnosis",)


def test_a_word_in_neither_class_is_named_with_its_column() -> None:
    mapping = LabelMapping(positive="dx == Dementia", negative="dx == Control")
    assert mapping.label({"dx": "MCI"}) == Unlabelled("neither positive nor negative", "dx MCI")
    assert Included(mapping, "centre == A").label({"dx": "MCI", "centre": "B"}) == Unlabelled(
        "inclusion criterion not met", "centre B"
    )


@pytest.mark.parametrize(("cell", "label"), [("1", 1), ("2.0", 1), ("0", 0), ("0,0", 0)])
def test_expressions_on_a_number(cell: str, label: int) -> None:
    assert CDR.label({"cdr": cell}) == label


def test_a_missing_label_names_its_columns() -> None:
    assert CDR.label({"cdr": "0.5"}) == Unlabelled("neither positive nor negative", "")
    assert CDR.label({"cdr": None}) == Unlabelled("label not known", "cdr missing")
    assert CDR.label({"cdr": "mild"}) == Unlabelled("label not known", "cdr no number")


def test_a_row_that_meets_both_expressions_has_no_label() -> None:
    mapping = LabelMapping(positive="mmse < 24", negative="cdr == 0")
    assert mapping.label({"mmse": "20", "cdr": "0"}) == Unlabelled("both positive and negative", "")
    assert mapping.label({"mmse": "20", "cdr": None}) == 1  # surely positive; nothing says that it is negative, too
    assert mapping.label({"mmse": None, "cdr": "0"}) == 0
    assert mapping.label({"mmse": None, "cdr": "1"}) == Unlabelled("label not known", "mmse missing")
    assert mapping.columns == ("mmse", "cdr")


def test_an_expression_beside_a_list() -> None:
    mapping = LabelMapping(positive="diagnosis == AD and mmse <= 26", negative=("CN",))
    assert mapping.label({"diagnosis": "AD", "mmse": "21"}) == 1
    assert mapping.label({"diagnosis": "CN", "mmse": None}) == 0
    assert mapping.label({"diagnosis": "AD", "mmse": "29"}) == Unlabelled("neither positive nor negative", "")


THREE = ClassMapping({"CN": ("CN",), "MCI": "cdr == 0.5", "AD": ("AD", "Dementia")})


def test_three_classes_have_labels_in_their_order() -> None:
    rows = [("CN", None), ("MCI", "0.5"), ("AD", "1"), ("Dementia", "2")]
    assert [THREE.label({"diagnosis": diagnosis, "cdr": cdr}) for diagnosis, cdr in rows] == [0, 1, 2, 2]
    assert THREE.label({"diagnosis": "PD", "cdr": "1"}) == Unlabelled("in none of the classes", "")
    assert THREE.label({"diagnosis": "CN", "cdr": "0.5"}) == Unlabelled("in several classes", "")
    assert THREE.label({"diagnosis": "PD", "cdr": None}) == Unlabelled("label not known", "cdr missing")
    assert THREE.outcome.names == ("CN", "MCI", "AD")
    assert THREE.columns == ("diagnosis", "cdr")
    assert str(THREE) == "CN (CN) or MCI (cdr == 0.5) or AD (AD, Dementia)"


def test_the_order_of_classes_survives_sorted_keys() -> None:
    assert json.loads(json.dumps(THREE.written(), sort_keys=True)) == [
        {"CN": ["CN"]},
        {"MCI": "cdr == 0.5"},
        {"AD": ["AD", "Dementia"]},
    ]


@pytest.mark.parametrize(
    ("definitions", "line"),
    [
        ({"CN": ("CN",)}, "expected 2 to 20 classes, got CN"),
        ({"CN": ("CN",), "AD": ("CN", "AD")}, "CN is in both CN and AD"),
        ({"AD": ("AD",), "ad": ("ad",)}, "names of classes must differ in more than case"),
        ({"AD": ("AD",), "Train": ("CN",)}, "Train is no name for a class"),
        ({"AD": ("AD",), "CN": "cdr"}, "label expression 'cdr': expected a column"),
        ({"AD": ("AD",), "CN": ()}, "CN: expected at least one diagnosis"),
    ],
)
def test_classes_that_cannot_be_told_apart_are_refused(definitions: dict, line: str) -> None:
    with pytest.raises(InputError, match=line):
        ClassMapping(definitions)
