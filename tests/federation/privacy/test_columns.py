"""The columns that labels may use."""

import pytest

from fedtune3d.cohorts.inclusion import Included
from fedtune3d.cohorts.labels import LabelMapping
from fedtune3d.federation.privacy.columns import is_identifier, require_columns
from fedtune3d.federation.privacy.refusal import Refusal


def column(*values: str) -> dict[str, set[str]]:
    return {f"sub-{number}": {value} for number, value in enumerate(values)}


@pytest.mark.parametrize(
    ("values", "tells"),
    [
        (("AD", "CN", "AD"), False),
        (("P-17", "P-18", "P-19"), True),
        (("12345678", "12345679", "12345681"), True),
        (("71", "72", "75"), False),  # ages of few people
        (tuple(map(str, range(40, 60))), True),  # whole numbers, another for each of twenty people
        (("1.11", "1.32", "0.98"), False),  # a measurement
        (("AD",), False),
    ],
)
def test_identifiers(values: tuple[str, ...], tells: bool) -> None:
    assert is_identifier(column(*values)) is tells


def test_a_number_per_session_is_one_per_person() -> None:
    assert is_identifier({"sub-1": {"A10", "A11"}, "sub-2": {"A12"}, "sub-3": {"A13"}})


@pytest.mark.parametrize(
    ("expression", "line"),
    [
        ('participant_id == "sub-1"', "labels use the column participant_id, which tells people apart"),
        ("mrn >= 12345678", "labels use the column mrn, which tells people apart; no site.yaml can allow that"),
        ("age >= 89", "labels use the column age, and `columns` in site.yaml lists diagnosis, mrn, participant_id"),
    ],
)
def test_what_labels_may_not_use(expression: str, line: str) -> None:
    labels = LabelMapping(positive=expression, negative="diagnosis == CN")
    values = {"mrn": column("12345678", "12345679", "12345681"), "diagnosis": column("CN", "CN")}
    with pytest.raises(Refusal, match=line):
        require_columns(labels, ["diagnosis", "mrn", "participant_id"], values)


def test_what_include_may_not_use() -> None:
    labels = LabelMapping(positive=("AD",), negative=("CN",))
    values = {"participant_id": column("sub-1", "sub-2", "sub-3"), "age": column("71", "71"), "diagnosis": column("CN")}
    for criterion, line in (
        ("participant_id != sub-1", "include uses the column participant_id, which tells people apart"),
        ("age < 89", "include uses the column age, and `columns` in site.yaml lists diagnosis"),
    ):
        with pytest.raises(Refusal, match=line):
            require_columns(Included(labels, criterion), ["diagnosis"], values)


def test_a_listed_column_serves() -> None:
    require_columns(LabelMapping(positive=("AD",), negative=("CN",)), ["diagnosis"], {"diagnosis": column("AD", "CN")})
    assert not is_identifier(column("AD", "CN", "CN"))
