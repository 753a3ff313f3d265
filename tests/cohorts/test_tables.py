"""Tables as people save them."""

from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.tables import read_table


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "participants.tsv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_table_with_a_bom_windows_line_ends_quotes_and_blank_lines(tmp_path: Path) -> None:
    path = written(tmp_path, '\ufeffparticipant_id\t"age"\r\n\r\nsub-01\t"70"\r\nsub-02\tn/a\r\n')
    table = read_table(path, ("participant_id",), "a table of participants")
    assert table.columns == ("participant_id", "age")
    assert table.rows == (
        (3, {"participant_id": "sub-01", "age": "70"}),
        (4, {"participant_id": "sub-02", "age": None}),
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "expected a header with participant_id, found an empty file"),
        ("participant_id,age\n", "found the columns participant_id,age; is it tab-separated?"),
        ("participant_id;age\n", "found the columns participant_id;age; is it tab-separated?"),
        ("sub-01\tCN\t70\n", "found the columns sub-01, CN, 70; is its first line a header?"),
        ("Participant_ID\tage\n", "found the columns Participant_ID, age; did you mean 'Participant_ID'?"),
        ("subject\tage\n", "found the columns subject, age; rename the column that holds it"),
        ("participant_id\tage\tage\n", "expected each column once, found age twice"),
        ("participant_id\tage\nsub-01\n", "line 2: expected 2 fields as in the header, got 1"),
        ("participant_id\n".encode("utf-16-le"), "found zero bytes, as in UTF-16"),
    ],
)
def test_a_malformed_table_is_one_line(tmp_path: Path, content: str | bytes, line: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(InputError) as caught:
        read_table(path, ("participant_id",), "a table of participants")
    assert str(caught.value).startswith(f"{path}: ")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_table_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a table of participants, found none"):
        read_table(tmp_path / "none.tsv", ("participant_id",), "a table of participants")


def test_latin1_is_read_and_said(tmp_path: Path) -> None:
    path = tmp_path / "participants.tsv"
    path.write_bytes(b"participant_id\tsite\r\n1\tM\xfcnster\r\n")
    table = read_table(path, ("participant_id",), "a table")
    assert table.is_latin1
    assert table.rows == ((2, {"participant_id": "1", "site": "Münster"}),)
