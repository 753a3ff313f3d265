"""What a site's tables say of each person and session."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.people import natural, read_people


def site(folder: Path, participants: str, **sessions: str) -> Path:
    """A table of participants, and one of sessions for each person named; `|` stands for a tab."""
    (folder / "participants.tsv").write_text(participants.replace("|", "\t"))
    for person, rows in sessions.items():
        path = folder / f"sub-{person}" / f"sub-{person}_sessions.tsv"
        path.parent.mkdir()
        path.write_text(rows.replace("|", "\t"))
    return folder / "participants.tsv"


def test_the_values_of_a_session_win_where_it_has_them(tmp_path: Path) -> None:
    table = site(
        tmp_path,
        "participant_id|sex|age\n01|F|70\nsub-02|M|89+\n",
        **{"01": "session_id|age|acq_time\nM00|71|2020-01-02T03:04:05\nses-M12|n/a|n/a\n"},
    )
    people = read_people(table, ["sub-01", "sub-02"])
    assert people.ids == ["sub-01", "sub-02"]
    assert people.row("sub-01", "ses-M00") == {
        **{"participant_id": "01", "sex": "F", "age": "71"},
        **{"session_id": "M00", "acq_time": "2020-01-02T03:04:05"},
    }
    later = people.row("sub-01", "ses-M12")
    assert later is not None
    assert later["age"] == "70"
    alone = people.row("sub-02", "ses-M00")
    assert alone is not None
    assert alone["age"] == "89"
    assert people.row("sub-03", "") is None
    assert people.acquired("sub-01", "ses-M00") == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert people.acquired("sub-01", "ses-M12") is None


def test_one_table_may_hold_a_row_per_session(tmp_path: Path) -> None:
    people = read_people(site(tmp_path, "participant_id|session_id|age\n1|M0|70\n1|M6|71\n"), ["sub-1"])
    assert [row["age"] for row in people.rows()] == ["70", "71"]


def test_sessions_of_one_person_in_two_groups_are_refused(tmp_path: Path) -> None:
    table = site(tmp_path, "participant_id|session_id|group_id\n1|a|x\n1|b|y\n2|a|x\n")
    people = read_people(table, [])
    assert people.group("sub-2") == "x"
    with pytest.raises(InputError, match="expected one group_id for sub-1, found x and y"):
        people.group("sub-1")


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ("01|70\nsub-01|71", "expected one row per participant, but sub-01 is in lines 2 and 3"),
        ("n/a|70", "line 2: expected a participant_id, got none"),
        ("../x|70", "line 2: expected a participant_id of letters, digits"),
    ],
)
def test_a_row_at_fault_is_named_by_its_line(tmp_path: Path, rows: str, line: str) -> None:
    with pytest.raises(InputError, match=line):
        read_people(site(tmp_path, f"participant_id|age\n{rows}\n"), [])


def test_digits_are_sorted_as_numbers() -> None:
    assert sorted(["ses-M12", "ses-M6", "ses-M0", "ses-A"], key=natural) == ["ses-A", "ses-M0", "ses-M6", "ses-M12"]


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("70.5", "70.5"), ("0,5", "0.5"), ("89+", "89"), (">89", "89"), (">= 90", "90"), ("090Y", "90"),
        ("006M", "0.5"),
        ("60-65", None), ("unknown", None), ("121", None), ("-3", None), ("Y", None), ("1e3", None),
    ],
)  # fmt: skip
def test_ages_as_tables_write_them(tmp_path: Path, text: str, age: str | None) -> None:
    table = tmp_path / "participants.tsv"
    table.write_text(f"participant_id\tage\n01\t{text}\n02\t{text}\n", encoding="utf-8")
    people = read_people(table, [])
    assert people.by_participant["sub-01"]["age"] == age
    expected = (
        f"participants.tsv: age: 2 values treated as missing; expected years (0 to 120), got {text!r} in line 2 first"
    )
    assert [warning.line for warning in people.warnings] == ([] if age else [expected])


def test_a_scan_without_a_session_has_what_all_sessions_share(tmp_path: Path) -> None:
    table = tmp_path / "participants.tsv"
    table.write_text("participant_id\tsex\n01\tF\n")
    (tmp_path / "sub-01").mkdir()
    rows = "session_id\tdiagnosis\tage\nM00\tAD\t70\nM12\tAD\t71\n"
    (tmp_path / "sub-01" / "sub-01_sessions.tsv").write_text(rows)
    row = read_people(table, ["sub-01"]).row("sub-01", "")
    assert row is not None
    assert (row["sex"], row["diagnosis"], row.get("age")) == ("F", "AD", None)


@pytest.mark.parametrize("group", ['=HYPERLINK("http://x")', "@SUM(A1)", "+1+1", "a\x1b[2Jb", "a\u202eb"])
def test_a_group_that_a_spreadsheet_would_evaluate_is_refused(tmp_path: Path, group: str) -> None:
    table = site(tmp_path, f"participant_id|group_id\n1|{group}\n")
    tables = read_people(table, [])
    with pytest.raises(InputError, match="no spreadsheet formula") as raised:
        tables.group("sub-1")
    assert str(raised.value).isprintable()
