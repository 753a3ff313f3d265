"""Foreign text on the console and in the log of `site join`: shown, never obeyed."""

import logging
from collections.abc import Callable

import pytest
from rich.table import Table
from rich.text import Text

from fedtune3d._utils.progress import Bars, Lines
from fedtune3d.cli.console import OneLine, PlainConsole

HOSTILE = "[bold]A[/bold][/x] :smile: \x1b[2J\x1b]0;owned\x07\x9b31m\u202eevil"
SHOWN = r"[bold]A[/bold][/x] :smile: \x1b[2J"


def _line(console: PlainConsole) -> None:
    console.print(HOSTILE, soft_wrap=True)


def _text(console: PlainConsole) -> None:
    console.print(Text(HOSTILE), soft_wrap=True)


def _table(console: PlainConsole) -> None:
    table = Table("site")
    table.add_row(HOSTILE)
    console.print(table)


def _note(console: PlainConsole) -> None:
    Bars(console).note(HOSTILE)


def _progress_line(console: PlainConsole) -> None:
    Lines(console.print).note(HOSTILE)


@pytest.mark.parametrize("write", [_line, _text, _table, _note, _progress_line])
def test_foreign_text_is_shown_and_not_obeyed(write: Callable[[PlainConsole], None]) -> None:
    console = PlainConsole()
    console.width = 200
    with console.capture() as captured:
        write(console)
    text = captured.get()
    assert SHOWN in text
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(text)


def test_a_log_record_is_one_line() -> None:
    record = logging.LogRecord("fedtune3d", logging.INFO, "", 0, "%s", ("refused\n2026-01-01 approved\x1b[2J",), None)
    assert OneLine("%(message)s").format(record) == r"refused 2026-01-01 approved\x1b[2J"
