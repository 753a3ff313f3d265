"""Optional values that cannot be read are counted by table and column."""

from pathlib import Path

from fedtune3d.cohorts.warnings import UnreadableValues


def test_one_line_per_table_and_column_with_the_first_value() -> None:
    values = UnreadableValues({"age": "years (0 to 120)", "sex": "F or M"})
    assert values.lines == ()
    values.add(Path("site/participants.tsv"), 3, "age", "old")
    values.add(Path("site/participants.tsv"), 5, "sex", "?")
    values.add(Path("site/participants.tsv"), 4, "age", "older")
    assert values.lines == (
        "participants.tsv: age: 2 values treated as missing; expected years (0 to 120), got 'old' in line 3 first",
        "participants.tsv: sex: 1 value treated as missing; expected F or M, got '?' in line 5",
    )
