"""How a measure is named, by what the model predicts."""

from pathlib import Path

from fedtune3d.evaluation.outcome import BINARY, ClassOutcome, NumberOutcome
from fedtune3d.report.shown_measure import AUC, MACRO_AUC, R_SQUARED, main_measure, shown_measure


def test_each_outcome_has_its_main_measure() -> None:
    age = NumberOutcome("age", 40, 100, "years", "error")
    assert main_measure(BINARY) == AUC
    assert main_measure(ClassOutcome(("CN", "MCI", "AD"))) == MACRO_AUC
    assert (main_measure(age).head, main_measure(age).is_error) == ("MAE (years)", True)
    assert main_measure(NumberOutcome("mmse", 0, 30, "", "error")).head == "MAE"
    assert shown_measure("r_squared", age) == R_SQUARED
    assert shown_measure("mae", age) == main_measure(age)


def test_the_page_on_studies_names_what_is_selected_by() -> None:
    text = (Path(__file__).parents[2] / "docs" / "study.md").read_text()
    selection = text[text.index("**Selection.**") :].split("\n- **")[0]
    age = NumberOutcome("age", 40, 100, "years", "error")
    for outcome in (BINARY, age):
        assert main_measure(outcome).validation in " ".join(selection.split())
    assert main_measure(age).title.lower() not in selection
