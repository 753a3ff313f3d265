"""Progress in words."""

import io

import pytest
from rich.console import Console

from fedtune3d._utils.progress import Bars, Lines


def test_a_line_where_it_begins_and_where_it_ends() -> None:
    said: list[str] = []
    with Lines(said.append).bar("preparing scans") as advance:
        advance(1, 3)
        advance(3, 3)
    with Lines(said.append).bar("nothing to do"):
        pass
    with Lines(said.append).bar("all done before") as advance:
        advance(3, 3)
    assert said == ["preparing scans: 3", "preparing scans: done"]


def test_a_note_is_a_line_of_its_own_in_a_log_and_above_bars() -> None:
    said: list[str] = []
    Lines(said.append).note("A: warning: [1 value]")
    assert said == ["A: warning: [1 value]"]
    with Bars(Console(file=io.StringIO(), force_terminal=True)) as bars, bars.bar("rounds") as advance:
        advance(1, 2)
        bars.note("A: warning: [1 value]")
        assert "A: warning: [1 value]" in bars.bars.console.file.getvalue()  # type: ignore[attr-defined]


def test_a_line_now_and_then_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten scans were there at the start; the pace is that of the others: 10 in 70 s, then 30 in 130 s."""
    said: list[str] = []
    with Lines(said.append).bar("preparing scans") as advance:
        for now, done in ((1000.0, 10), (1059.0, 18), (1070.0, 20), (1129.0, 30), (1130.0, 40)):
            monkeypatch.setattr("time.monotonic", lambda now=now: now)
            advance(done, 100)
    assert said == [
        "preparing scans: 100",
        "preparing scans: 20 of 100, 0:09:20 left",
        "preparing scans: 40 of 100, 0:04:20 left",
        "preparing scans: done",
    ]


def test_the_first_round_which_also_encodes_is_not_the_pace_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with Lines(said.append).bar("rounds") as advance:
        for now, done in ((1000.0, 0), (1150.0, 1), (1160.0, 2), (1210.0, 7)):
            monkeypatch.setattr("time.monotonic", lambda now=now: now)
            advance(done, 20)
    assert said == ["rounds: 20", "rounds: 1 of 20", "rounds: 7 of 20, 0:02:10 left", "rounds: done"]


def test_without_progress_there_is_no_time_left() -> None:
    said: list[str] = []
    with Lines(said.append, every_seconds=0).bar("rounds") as advance:
        advance(0, 20)
        advance(0, 20)
    assert said == ["rounds: 20", "rounds: 0 of 20", "rounds: done"]


def test_a_bar_appears_with_something_to_do_and_stays_to_the_end() -> None:
    with Bars(Console(file=io.StringIO(), force_terminal=True)) as bars:
        with bars.bar("all done before") as advance:
            advance(3, 3)
        with bars.bar("rounds") as advance:
            advance(1, 2)
            advance(2, 2)
        shown = {task.description for task in bars.bars.tasks if task.visible}
    assert shown == {"rounds"}
