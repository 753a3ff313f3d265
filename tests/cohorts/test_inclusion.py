"""Who is included: rows that meet a criterion, and only these, whatever else the others hold."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.flow import count_flow
from fedtune3d.cohorts.inclusion import Included
from fedtune3d.cohorts.labels import LabelMapping
from fedtune3d.cohorts.number_column import NumberColumn
from fedtune3d.cohorts.reading import read_site
from fedtune3d.cohorts.records import Unlabelled
from fedtune3d.evaluation.outcome import NumberOutcome

AGE = NumberColumn(NumberOutcome("age", 40, 100, "years", "leave_out"))
WHERE = "participants.tsv: the row of sub-01"


def test_rows_that_meet_the_criterion_are_what_they_are_without_it() -> None:
    healthy = Included(AGE, "diagnosis == CN")
    row = {"diagnosis": "CN", "age": "63"}
    assert (healthy.label(row), healthy.number(row, WHERE)) == (0, 63)
    assert healthy.label({"diagnosis": "CN", "age": None}) == Unlabelled("number not known", "age missing")
    assert healthy.columns == ("diagnosis", "age")
    with pytest.raises(InputError, match="sub-01: expected age from 40 to 100, got 140"):
        healthy.number({"diagnosis": "CN", "age": "140"}, WHERE)


def test_other_rows_are_left_out_with_their_reason_and_stop_nothing() -> None:
    healthy, mild = Included(AGE, "diagnosis == CN"), Included(AGE, "cdr < 1 and mmse >= 20")
    out_of_range = {"diagnosis": "AD", "age": "140", "cdr": "2", "mmse": "25"}
    assert healthy.label(out_of_range) == Unlabelled("inclusion criterion not met", "diagnosis AD")
    assert healthy.number(out_of_range, WHERE) is None
    assert mild.label(out_of_range) == Unlabelled("inclusion criterion not met", "")
    assert healthy.label({"diagnosis": None}) == Unlabelled("inclusion criterion not known", "diagnosis missing")
    unknown = {"cdr": "none", "mmse": None, "age": "60"}
    assert mild.label(unknown) == Unlabelled("inclusion criterion not known", "cdr no number, mmse missing")
    assert mild.unreadable(unknown) == {"cdr": "none"}
    assert mild.unreadable(out_of_range) == {}


def test_classes_can_be_narrowed_too() -> None:
    labels = Included(LabelMapping(positive=("AD",), negative=("CN",)), "age >= 60")
    assert [labels.label({"diagnosis": name, "age": "60"}) for name in ("CN", "AD")] == [0, 1]
    assert labels.label({"diagnosis": "CN", "age": "59"}) == Unlabelled("inclusion criterion not met", "")
    assert labels.number({"diagnosis": "CN", "age": "60"}, WHERE) is None
    assert str(labels) == "positive (AD) or negative (CN) where age >= 60"


def test_a_site_counts_whom_it_leaves_out(tmp_path: Path, write_small_site: Callable[..., None]) -> None:
    """Six people: the three healthy ones have their ages read, of which one is missing."""
    write_small_site(tmp_path, 6, seed=1)
    ages = ["140", "60", "n/a", "65", "70", "n/a"]
    rows = [f"sub-{number:02d}\t{'AC'[number % 2]}\t{age}" for number, age in enumerate(ages)]
    (tmp_path / "participants.tsv").write_text("\n".join(["participant_id\tdiagnosis\tage", *rows]) + "\n")
    cohort = read_site(tmp_path, "A", Included(AGE, "diagnosis == C"))
    assert [(record.name, record.number) for record in cohort.records] == [("sub-01", 60), ("sub-03", 65)]
    left_out = {(step.reason, step.detail): step.counts.participants for step in count_flow(cohort, classes=1).left_out}
    assert left_out == {
        ("inclusion criterion not met", "diagnosis A"): 3,
        ("number not known", "age missing"): 1,
    }
    with pytest.raises(InputError, match=r"nobody meets include: .* == HC; the column diagnosis has A \(3\), C \(3\)"):
        read_site(tmp_path, "A", Included(AGE, "diagnosis == HC"))
    with pytest.raises(InputError, match="expected a column group, found the columns participant_id, diagnosis, age"):
        read_site(tmp_path, "A", Included(AGE, "group == HC"))
