"""Ledgers: what a kill or a flipped bit does to them."""

import os
import random
from pathlib import Path

import pytest

from fedtune3d._utils.errors import DamagedFileError
from fedtune3d._utils.ledgers import append_line, keep_first, read_lines


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "new" / "ledger.jsonl"
    for number in range(1, 6):
        append_line(path, {"round": number, "loss": number / 7, "text": "a\u2028b\n"})
    return path


def test_lines_are_read_back_in_order(ledger: Path) -> None:
    assert [line["round"] for line in read_lines(ledger)] == [1, 2, 3, 4, 5]
    assert read_lines(ledger)[2] == {"round": 3, "loss": 3 / 7, "text": "a\u2028b\n"}
    assert ledger.read_text().count("\n") == 5


def test_each_line_is_flushed_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, flushed = tmp_path / "lines.jsonl", []
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(os.fstat(handle).st_size))
    for number in range(3):
        append_line(path, {"number": number})
        assert flushed[number:] == [path.stat().st_size]


def test_no_file_is_an_empty_ledger(tmp_path: Path) -> None:
    assert read_lines(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("cut", [1, 20, 10**6])
def test_an_unfinished_last_line_gives_way(ledger: Path, cut: int) -> None:
    content = ledger.read_bytes()
    last = content[:-1].rfind(b"\n") + 1
    ledger.write_bytes(content[: max(last + 1, len(content) - cut)])
    assert len(read_lines(ledger)) == 4
    append_line(ledger, {"round": 6})
    assert [line["round"] for line in read_lines(ledger)] == [1, 2, 3, 4, 6]


def test_every_flipped_bit_is_noticed(ledger: Path) -> None:
    content, generator = ledger.read_bytes(), random.Random(1)
    for _ in range(300):
        damaged = bytearray(content)
        damaged[generator.randrange(len(content) - 1)] ^= 1 << generator.randrange(8)  # the last line end apart
        ledger.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match=r"ledger\.jsonl: the file is damaged in line"):
            read_lines(ledger)


@pytest.mark.parametrize("dropped", [0, 2, 3])
def test_a_missing_line_is_noticed(ledger: Path, dropped: int) -> None:
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:dropped] + lines[dropped + 1 :]))
    with pytest.raises(DamagedFileError):
        read_lines(ledger)


def test_a_cut_at_a_line_end_is_noticed_by_who_kept_the_count(ledger: Path) -> None:
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:4]))
    assert len(read_lines(ledger)) == 4
    with pytest.raises(DamagedFileError, match="has lost lines: expected 5 or more, found 4"):
        keep_first(ledger, 5)


def test_lines_after_the_kept_head_go(ledger: Path) -> None:
    content = ledger.read_bytes()
    append_line(ledger, {"round": 6})
    keep_first(ledger, 5)
    assert ledger.read_bytes() == content
    append_line(ledger, {"round": 6})
    assert len(read_lines(ledger)) == 6


def test_what_is_no_json_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        append_line(tmp_path / "ledger.jsonl", {"loss": float("nan")})
    assert read_lines(tmp_path / "ledger.jsonl") == []
