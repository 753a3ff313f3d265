"""Progress in words."""

import io

from rich.console import Console

from fedtune3d._utils.progress import Bars, Lines


def test_a_line_where_it_begins_and_where_it_ends() -> None:
    said: list[str] = []
    with Lines(said.append).bar("preparing scans") as advance:
        advance(1, 3)
        advance(3, 3)
    with Lines(said.append).bar("nothing to do"):
        pass
    assert said == ["preparing scans: 3", "preparing scans: done"]


def test_a_note_is_a_line_of_its_own_in_a_log_and_above_bars() -> None:
    said: list[str] = []
    Lines(said.append).note("A: warning: [1 value]")
    assert said == ["A: warning: [1 value]"]
    with Bars(Console(file=io.StringIO(), force_terminal=True)) as bars, bars.bar("rounds") as advance:
        advance(1, 2)
        bars.note("A: warning: [1 value]")
        assert "A: warning: [1 value]" in bars.bars.console.file.getvalue()  # type: ignore[attr-defined]


def test_a_line_now_and_then_while_it_goes_on() -> None:
    said: list[str] = []
    with Lines(said.append, every_seconds=0).bar("rounds") as advance:
        for done in range(3):
            advance(done, 20)
    assert said == ["rounds: 20", "rounds: 1 of 20", "rounds: 2 of 20", "rounds: done"]
