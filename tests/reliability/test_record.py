"""What a program keeps of its cases when it is stopped, and when something was mended in between."""

import json
from pathlib import Path

import pytest
import record
from record import Record


def has_failed(result: object) -> bool:
    return result == "failed"


def test_a_stopped_program_goes_on_and_a_mended_one_repeats_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "faults.jsonl"
    monkeypatch.setattr(record, "commit", lambda: "first")
    before = Record(path, seed=1)
    for case, result in (("a", "ok"), ("b", "failed")):
        before.add(case, result)
    assert Record(path, seed=1).cases == {"a": "ok", "b": "failed"}
    monkeypatch.setattr(record, "commit", lambda: "second")
    with pytest.raises(SystemExit, match=r"holds cases of .*first.* not of .*second"):
        Record(path, seed=1)
    with pytest.raises(SystemExit):
        Record(path, True, has_failed, seed=2)
    mended = Record(path, True, has_failed, seed=1)
    assert mended.cases == {"a": "ok"}
    assert mended.cost()["commit"] == "first"
    mended.add("b", "ok")
    again = Record(path, True, has_failed, seed=1)
    assert again.cases == {"a": "ok", "b": "ok"}
    assert again.cost()["commit"] == "first, second"
    assert [line["commit"] for line in map(json.loads, path.read_text().splitlines()) if "commit" in line] == [
        "first",
        "second",
    ]


def test_what_fails_again_at_the_same_commit_stays_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "commit", lambda: "first")
    Record(tmp_path / "x.jsonl", True, has_failed).add("b", "failed")
    assert Record(tmp_path / "x.jsonl", True, has_failed).cases == {"b": "failed"}
