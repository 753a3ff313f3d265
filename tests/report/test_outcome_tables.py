"""The tables of classes and of a number; the runs of `workflows/test_outcomes.py` show them on a page."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from outcome_metrics import CLASSES, class_metrics, number_metrics
from rich.console import Console

from fedtune3d.evaluation.estimate import defined, undefined
from fedtune3d.evaluation.outcome import ClassOutcome, NumberOutcome
from fedtune3d.evaluation.subgroups import SubgroupAxis, SubgroupMetrics
from fedtune3d.report.outcome_tables import group_tables, main_table, measured_tables, terminal_table


def test_groups_have_their_measure_their_gap_and_what_was_held_back() -> None:
    women = SubgroupMetrics(30, 31, defined(4.2, (3.1, 5.6), "m", False), defined(-0.4, (-1.5, 0.7), "m", True))
    men = SubgroupMetrics(12, 12, undefined("one class only"), undefined("one class only"))
    axes = {
        "scanner": SubgroupAxis({"1.5 T": men}, 0),  # alone, so nothing to compare
        "sex": SubgroupAxis({"F": women, "M": men}, 1),
    }
    (table,) = group_tables(axes, "MAE (years)")
    assert table.header == ("Group", "People", "Scans", "MAE (years)", "Minus all other groups")
    assert table.rows == [
        ("Sex: F", "30", "31", "4.20 [3.10, 5.60]", "−0.40 [−1.50, +0.70]"),
        ("Sex: M", "12", "12", "not defined: one class only", "not defined: one class only"),
        ("Sex: held back by sites", "–", "–", "1 group", "–"),
    ]
    assert table.few == "Fewer than 10 people in a class: Sex: F."
    assert group_tables(axes, "MAE", by_class=False)[0].few == "Fewer than 10 people: Sex: F."
    assert group_tables({"scanner": axes["scanner"]}, "MAE") == []


def run_of(outcome: ClassOutcome | NumberOutcome, shared: Any, own: Any) -> Any:
    """A run whose federated models are `shared` by all sites, while each site's local one is its `own`."""
    methods = {"federated": shared, "local": own}
    return SimpleNamespace(
        outcome=outcome,
        methods={},
        evaluated=methods,
        class_methods=methods if isinstance(outcome, ClassOutcome) else {},
        number_methods=methods if isinstance(outcome, NumberOutcome) else {},
    )


def of_classes() -> Any:
    return run_of(ClassOutcome(CLASSES), class_metrics(), class_metrics(shared_model=False))


def of_numbers(slope: float = 0.7) -> Any:
    outcome = NumberOutcome("age", 40, 100, "years", "error")
    return run_of(outcome, number_metrics(slope=slope), number_metrics(shared_model=False))


def test_sites_come_before_their_mean_and_all_scans_and_the_dash_of_local_models_is_explained() -> None:
    for run in (of_classes(), of_numbers()):
        table = main_table(run)
        assert [row[0] for row in table.rows] == ["Amsterdam", "Boston", "Graz", "Mean", "Pooled"]
        assert table.rows[-1][2] == "–"
        assert table.note == "–: local models differ between sites, so their predictions are not pooled."
    alone = run_of(ClassOutcome(CLASSES), class_metrics(shared_model=False), class_metrics(shared_model=False))
    assert main_table(alone).note == ""  # there is no row of all scans


@pytest.mark.parametrize("run", [of_classes(), of_numbers()])
def test_no_table_is_too_wide_for_a_page_or_marks_each_cell(run: Any) -> None:
    """Four intervals next to the site, people and scans are what a page of 1,280 pixels and A4 hold."""
    for table in measured_tables(run):
        assert all(len(row) == len(table.header) <= 7 for row in table.rows)
        assert sum("[" in cell for cell in table.rows[0]) <= 5
        assert not any("few" in cell for row in table.rows for cell in row)
    assert any(table.few.startswith("Fewer than 10 people") for table in measured_tables(run))


def test_people_are_of_a_class_only_where_there_are_classes() -> None:
    assert measured_tables(of_classes())[0].few.startswith("Fewer than 10 people in a class: Graz")
    assert main_table(of_numbers()).few == "Fewer than 10 people: Graz, Mean."
    for table in measured_tables(of_numbers()):
        assert "class" not in " ".join((table.title, *table.header, *table.notes))
    assert "True age (years), mean ± SD" in measured_tables(of_numbers())[0].header


def test_the_confusion_matrix_is_one_folded_table() -> None:
    (table,) = [table for table in measured_tables(of_classes()) if table.folded]
    assert table.header[2:] == ("Classified as CN", "Classified as MCI", "Classified as AD", "All scans")
    assert [row[:2] for row in table.rows[-3:]] == [("Pooled", "CN"), ("Pooled", "MCI"), ("Pooled", "AD")]


def test_classes_that_are_named_by_numbers_are_called_classes() -> None:
    numbered = replace(class_metrics(), classes=("0", "1", "2"))
    tables = measured_tables(run_of(ClassOutcome(numbered.classes), numbered, numbered))
    (confusion,) = [table for table in tables if table.folded]
    assert confusion.header[2:5] == ("Classified as class 0", "Classified as class 1", "Classified as class 2")
    assert [row[1] for row in confusion.rows[:3]] == ["class 0", "class 1", "class 2"]
    (of_each,) = [table for table in tables if "Sensitivity" in table.header]
    assert of_each.rows[0][1] == "class 0"


def test_a_gap_that_is_never_corrected_is_a_sentence_and_no_table() -> None:
    assert len(measured_tables(of_numbers())) == 3
    flat = measured_tables(of_numbers(slope=0.0))
    assert len(flat) == 2
    assert "not corrected for regression to the mean" in flat[1].note


def test_the_terminal_has_the_notes_below() -> None:
    console = Console(width=120, record=True)
    console.print(terminal_table(main_table(of_numbers())))
    text = console.export_text()
    assert "Fewer than 10 people: Graz, Mean." in text
    assert "–: local models differ" in text
