"""How a row of a table becomes a label, or the reason why it has none."""

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.records import LabelMapping, Unlabelled

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
