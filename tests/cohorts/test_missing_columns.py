"""Tables without age or sex lose analyses; the line names them and the columns to rename."""

import pytest

from fedtune3d.cohorts.missing_columns import LOST, missing_columns, missing_columns_line


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (("participant_id", "age", "sex"), ""),
        (
            ("age_years", "dx", "gender"),
            f"no columns age, sex (found age_years, gender): rename them; without them: {LOST['age']}, {LOST['sex']}",
        ),
        (("sex", "AgeAtScan"), f"no column age (found AgeAtScan): rename it; without it: {LOST['age']}"),
        (("age", "PTGENDER"), f"no column sex (found PTGENDER): rename it; without it: {LOST['sex']}"),
        (("sex", "stage", "image_path"), f"no column age; without it: {LOST['age']}"),
    ],
)
def test_the_line_names_what_is_missing_and_what_to_rename(columns: tuple[str, ...], line: str) -> None:
    assert missing_columns_line(columns) == line


def test_the_columns_that_are_missing() -> None:
    assert missing_columns(["sex", "Age"]) == ("age",)
