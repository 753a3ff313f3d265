"""Files that a kill can cut."""

from pathlib import Path

import pytest

from fedtune3d._utils.files import append_json_line, read_json_lines


def test_lines_are_read_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lines.jsonl"
    assert read_json_lines(path) == []
    for number in (1, 2):
        append_json_line(path, {"number": number, "text": "a\u2028b\n"})
    assert [line["number"] for line in read_json_lines(path)] == [1, 2]
    assert path.read_text().count("\n") == 2


@pytest.mark.parametrize("kept", ["", '{"number": 1}\n'])
def test_what_a_kill_cut_is_not_read_and_gives_way(tmp_path: Path, kept: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(kept + '{"number": 2, "te')
    assert len(read_json_lines(path)) == len(kept.splitlines())
    append_json_line(path, {"number": 3})
    assert path.read_text() == kept + '{"number": 3}\n'


def test_what_is_no_json_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        append_json_line(tmp_path / "lines.jsonl", {"loss": float("nan")})
    assert not (tmp_path / "lines.jsonl").exists()
