"""Optional values that cannot be read are counted by table and column."""

from pathlib import Path

from fedtune3d.cohorts.warnings import UnreadableValues


def test_one_line_per_table_and_column_with_the_first_value() -> None:
    values = UnreadableValues({"age": "years (0 to 120)", "sex": "F or M"})
    assert values.warnings == ()
    values.add(Path("site/participants.tsv"), "line 3", "age", "old")
    values.add(Path("site/participants.tsv"), "line 5", "sex", "?")
    values.add(Path("site/participants.tsv"), "line 4", "age", "older")
    assert [warning.line for warning in values.warnings] == [
        "participants.tsv: age: 2 values treated as missing; expected years (0 to 120), got 'old' in line 3 first",
        "participants.tsv: sex: 1 value treated as missing; expected F or M, got '?' in line 5",
    ]
    assert [(warning.what, warning.count) for warning in values.warnings] == [
        ("values of age treated as missing", 2),
        ("values of sex treated as missing", 1),
    ]
