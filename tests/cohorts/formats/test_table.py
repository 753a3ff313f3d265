"""A plain table of scans, one row a scan."""

from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.formats import recognise
from fedtune3d.cohorts.labels import LabelMapping
from fedtune3d.cohorts.reading import list_diagnoses, read_site

LABELS = LabelMapping(positive=("AD",), negative=("CN",))
HEADER = "path\tparticipant_id\tsession_id\tdiagnosis\tage\tgroup_id\n"


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    table = folder / "scans.tsv"
    table.write_text(header + "".join(row.replace(" ", "\t") + "\n" for row in rows))
    return table


def test_a_row_a_scan(tmp_path: Path) -> None:
    rows = ["a/2.nii M00 07 AD 70 n/a", "a/1.nii 7 M12 CN 71 fam", "b/3.nii 8 n/a CN 60 n/a", "c.nii 9 n/a MCI 60 n/a"]
    rows[0] = "a/2.nii 7 M00 AD 70 n/a"
    table = write(tmp_path, *rows)
    assert recognise(table) == "table"
    cohort = read_site(table, "A", LABELS)
    assert [(one.name, one.label, one.age, one.path) for one in cohort.records] == [
        ("sub-7_ses-M00", 1, 70.0, tmp_path / "a" / "2.nii"),
        ("sub-7_ses-M12", 0, 71.0, tmp_path / "a" / "1.nii"),
        ("sub-8", 0, 60.0, tmp_path / "b" / "3.nii"),
    ]
    assert [one.group_id for one in cohort.records] == ["fam", "fam", "sub-8"]  # one person, one group
    assert [one.detail for one in cohort.exclusions] == ["diagnosis MCI"]
    assert list_diagnoses(table) == {"AD": 1, "CN": 2, "MCI": 1}


def test_the_first_of_two_scans_of_a_session_is_taken(tmp_path: Path) -> None:
    cohort = read_site(write(tmp_path, "2.nii 1 n/a AD 70 n/a", "1.nii 1 n/a AD 70 n/a"), "A", LABELS)
    assert [one.path.name for one in cohort.records] == ["2.nii"]
    assert [one.reason for one in cohort.exclusions] == ["further T1w scan of a session"]


def test_paths_may_be_absolute_and_below_the_table(tmp_path: Path) -> None:
    cohort = read_site(write(tmp_path, f"{tmp_path}/x/../a.nii 1 n/a AD 70 n/a"), "A", LABELS)
    assert cohort.records[0].path == tmp_path / "a.nii"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["../a.nii 1 n/a AD 70 n/a"],
            "line 2: expected a path below the table's folder, got ../a.nii; move the table",
        ),
        (["/etc/passwd 1 n/a AD 70 n/a"], "below the table's folder, got /etc/passwd"),
        (["n/a 1 n/a AD 70 n/a"], "line 2: expected a path, got none"),
        (["a.nii n/a n/a AD 70 n/a"], "line 2: expected a participant_id, got none"),
        (["a.nii ../x n/a AD 70 n/a"], "line 2: expected a participant_id of letters, digits and . + - _, got '../x'"),
        (["a.nii 1 M0/1 AD 70 n/a"], "line 2: expected a session_id of letters"),
        (["a.nii 1 n/a AD 70 n/a"] * 2, "expected each scan once, but a.nii is in lines 2 and 3; keep one"),
        (["a.nii 1 n/a AD 70 n/a", "./a.nii 2 n/a CN 70 n/a"], "but ./a.nii is in lines 2 and 3"),
        (
            ["a.nii 1 n/a AD 70 n/a", "b.nii 1 n/a CN 70 n/a"],
            "line 3: expected the same values as an earlier row of sub-1",
        ),
        (["a.nii 1 M0 AD 70 x", "b.nii 1 M1 AD 70 y"], "expected one group_id for sub-1, found x and y; a person must"),
        (["a.nii 1 n/a MCI 70 n/a"], "found diagnosis MCI: 1; correct the labels"),
        ([], "found no participant"),
    ],
)
def test_bad_tables_are_refused_in_one_line(tmp_path: Path, rows: list[str], message: str) -> None:
    table = write(tmp_path, *rows)
    with pytest.raises(InputError) as caught:
        read_site(table, "A", LABELS)
    assert message in str(caught.value)
    assert str(table) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_needs_its_columns_and_a_folder_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a column path, found the columns participant_id, diagnosis"):
        read_site(write(tmp_path, header="participant_id\tdiagnosis\n"), "A", LABELS)
    with pytest.raises(InputError, match="expected the format table, found a folder"):
        read_site(tmp_path, "A", LABELS, format="table")
    with pytest.raises(InputError, match="expected the format bids, found a file"):
        read_site(write(tmp_path), "A", LABELS, format="bids")
