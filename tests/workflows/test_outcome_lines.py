"""The lines that say what is predicted: what YAML reads in them, and what is refused."""

import pytest
import yaml

from fedtune3d._utils.errors import InputError
from fedtune3d.workflows.outcome_lines import named_classes, number


def test_names_are_what_names_of_classes_may_be() -> None:
    text = named_classes(["0", "AD/other", "no"], {"0": 4, "AD/other": 2, "no": 1})
    assert yaml.safe_load(text)["labels"] == {"0": ["0"], "AD-other": ["AD/other"], "no": ["no"]}
    assert "  AD-other: [AD/other]\n" in text


@pytest.mark.parametrize(
    ("diagnoses", "message"),
    [
        (["CN", "n/a"], "nobody has the diagnosis n/a"),
        (["CN"], "expected 2 to 20 classes, got CN"),
        (["CN", "cn"], "must differ in more than case"),
        (["A/D", "A:D"], "do not give each class a name of its own"),
        (["CN", "all"], "all is no name for a class"),
    ],
)
def test_classes_that_are_refused(diagnoses: list[str], message: str) -> None:
    with pytest.raises(InputError, match=f"--classes: .*{message}"):
        named_classes(diagnoses, dict.fromkeys(["CN", "cn", "n/a", "A/D", "A:D", "all"], 3))


@pytest.mark.parametrize(
    ("column", "values", "limits"),
    [
        ("age", [63.5, None, 88.0], [60, 90]),
        ("age", [70.0, 70.0], [70, 71]),
        ("MMSE", [21.0, 29.0], [0, 30]),
        ("CDR-SB", [0.5, 4.0], [0, 18]),
        ("volume", [-0.34, 0.52], [-0.4, 0.6]),
        ("volume", [1204.0, 3380.0], [1000, 4000]),
    ],
)
def test_the_range_is_that_of_the_scale_or_of_the_values_rounded_outwards(
    column: str, values: list[float | None], limits: list[float]
) -> None:
    target = yaml.safe_load(number(column, values))["target"]
    assert target["range"] == pytest.approx(limits)
    assert (target["column"], target["missing"]) == (column, "leave_out")
    assert target["unit"] == {"age": "years", "volume": ""}.get(column, "points")


def test_numbers_outside_a_scale_and_missing_ones_are_counted() -> None:
    text = number("mmse", [99.0, 28.0, None, None])
    assert "the ends of its scale; outside it are 1 of 4 rows" in text
    assert "2 of 4 rows have no number" in text
    with pytest.raises(InputError, match="--target: no row has a number in the column mmse"):
        number("mmse", [None])
