"""A column whose number is predicted: in its range, missing as declared, or refused with file and row."""

from dataclasses import replace

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.number_column import NumberColumn
from fedtune3d.cohorts.records import Unlabelled
from fedtune3d.evaluation.outcome import NumberOutcome

MMSE = NumberOutcome("mmse", 0, 30, "", "leave_out")
COLUMN = NumberColumn(MMSE)
WHERE = "participants.tsv: the row of sub-01"


def test_a_number_in_its_range_is_taken() -> None:
    assert [COLUMN.number({"mmse": cell}, WHERE) for cell in ("0", "27,5", "30")] == [0, 27.5, 30]
    assert COLUMN.label({"mmse": "29"}) == 0
    assert COLUMN.columns == ("mmse",)
    assert COLUMN.unreadable({"mmse": "none"}) == {}


def test_a_missing_number_means_what_is_declared() -> None:
    assert COLUMN.number({"mmse": None}, WHERE) is None
    assert COLUMN.label({"mmse": None}) == Unlabelled("number not known", "mmse missing")
    strict = NumberColumn(replace(MMSE, missing="error"))
    with pytest.raises(InputError, match="sub-01: expected mmse from 0 to 30, found none; fill it in, or write target"):
        strict.number({"mmse": None}, WHERE)


@pytest.mark.parametrize(("cell", "got"), [("mild", "got 'mild'"), ("31", "got 31"), ("-1", "got -1")])
def test_what_is_no_number_of_the_range_stops_the_run(cell: str, got: str) -> None:
    with pytest.raises(InputError, match=f"participants.tsv: the row of sub-01: expected mmse from 0 to 30, {got}"):
        COLUMN.number({"mmse": cell}, WHERE)
