"""A ledger whose end is lost is noticed wherever it was cut; one that a kill left ahead of its count is whole."""

from pathlib import Path

import pytest

from fedtune3d._utils.counted_ledgers import append_counted_line, count_path, read_counted_lines
from fedtune3d._utils.errors import DamagedFileError
from fedtune3d._utils.ledgers import append_line


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "egress.jsonl"
    for number in range(3):
        append_counted_line(path, {"value": number})
    return path


def test_lines_are_read_as_they_were_written(ledger: Path, tmp_path: Path) -> None:
    assert read_counted_lines(ledger) == [{"value": 0}, {"value": 1}, {"value": 2}]
    assert count_path(ledger) == tmp_path / "egress.count.json"
    assert read_counted_lines(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("kept", [0, 1, 2])
@pytest.mark.parametrize("rest", [b"", b'{"line": '])
def test_lost_lines_are_noticed_when_reading_and_when_writing(ledger: Path, kept: int, rest: bytes) -> None:
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:kept]) + rest)
    before = ledger.read_bytes()
    lost = rf"egress\.jsonl: the file has lost lines: expected 3 or more, found {kept}"
    with pytest.raises(DamagedFileError, match=lost):
        read_counted_lines(ledger)
    with pytest.raises(DamagedFileError, match=lost):
        append_counted_line(ledger, {"value": 3})
    assert ledger.read_bytes() == before


def test_a_lost_ledger_is_noticed(ledger: Path) -> None:
    ledger.unlink()
    with pytest.raises(DamagedFileError, match="expected 3 or more, found 0"):
        read_counted_lines(ledger)
    with pytest.raises(DamagedFileError, match="expected 3 or more, found 0"):
        append_counted_line(ledger, {"value": 3})


def test_a_lost_count_is_noticed(ledger: Path) -> None:
    count_path(ledger).unlink()
    with pytest.raises(DamagedFileError, match=r"egress\.count\.json: the file is missing"):
        read_counted_lines(ledger)
    with pytest.raises(DamagedFileError, match=r"egress\.count\.json: the file counts 0 of 3 lines"):
        append_counted_line(ledger, {"value": 3})


@pytest.mark.parametrize("before", [0, 2])
def test_a_line_that_a_kill_left_uncounted_is_counted_with_the_next(tmp_path: Path, before: int) -> None:
    ledger = tmp_path / "egress.jsonl"
    for number in range(before):
        append_counted_line(ledger, {"value": number})
    append_line(ledger, {"value": before})  # killed before it was counted
    assert len(read_counted_lines(ledger)) == before + 1

    for append in (append_counted_line, append_line):  # and killed again
        append(ledger, {"value": before + 1})
        assert read_counted_lines(ledger)
    append_counted_line(ledger, {"value": 9})
    assert len(read_counted_lines(ledger)) == before + 4
