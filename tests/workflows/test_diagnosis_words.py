"""What is assigned to two classes without asking, and what is not."""

import pytest

from fedtune3d.workflows.diagnosis_words import TwoClasses, by_severity, sort_into_two


@pytest.mark.parametrize(
    ("diagnoses", "sorted_out"),
    [
        (["AD", "CN", "MCI"], TwoClasses(("AD",), ("CN",), ("MCI",))),
        (["Alzheimer's disease", "healthy"], TwoClasses(("Alzheimer's disease",), ("healthy",), ())),
        (["CN", "MCI"], TwoClasses(("MCI",), ("CN",), ())),
        (["CN", "FTD", "PSP"], TwoClasses((), ("CN",), ("FTD", "PSP"))),
        (["AD", "CN", "FTD"], TwoClasses(("AD",), ("CN",), ("FTD",))),
        (["pMCI", "sMCI"], TwoClasses((), (), ("pMCI", "sMCI"))),
        (["0", "1"], TwoClasses((), (), ("0", "1"))),
        (["AD"], TwoClasses(("AD",), (), ())),
    ],
)
def test_only_what_is_known_is_assigned(diagnoses: list[str], sorted_out: TwoClasses) -> None:
    assert sort_into_two(diagnoses) == sorted_out
    assert sorted([*sorted_out.positive, *sorted_out.negative, *sorted_out.open]) == diagnoses


def test_the_line_and_the_comment_name_what_is_left() -> None:
    sorted_out = sort_into_two(["AD", "CN", "MCI"])
    assert sorted_out.line == "negative: CN; positive: AD; in neither, for you to assign: MCI"
    assert sorted_out.comment == "Check their assignment. In neither list, for you to assign: MCI."
    assert sort_into_two(["CN", "MCI"]).comment == "Check their assignment."


def test_controls_come_first_and_dementia_last() -> None:
    assert by_severity(["AD", "LMCI", "CN", "SCD", "EMCI"]) == ["CN", "SCD", "EMCI", "LMCI", "AD"]
