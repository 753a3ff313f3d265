"""The console of all commands, and the log lines of `site join`: neither runs what a foreign text holds."""

import logging
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, HighlighterType, JustifyMethod, OverflowMethod, RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from fedtune3d._utils.foreign_text import one_line, printable
from fedtune3d.cli.program import callable_here


class PlainConsole(Console):
    """A console that shows every text as it is: no markup, and control characters are written out.

    Sites' names, faults, file names and values of tables reach the console by many ways (lines, tables, progress
    bars); all pass here. Commands that a line suggests can be typed as they stand, with or without the program on PATH.
    """

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = False) -> None:
        super().__init__(stderr=stderr, soft_wrap=soft_wrap, highlight=False, markup=False, emoji=False)

    def render_str(
        self,
        text: str,
        *,
        style: str | Style = "",
        justify: JustifyMethod | None = None,
        overflow: OverflowMethod | None = None,
        emoji: bool | None = None,
        markup: bool | None = None,
        highlight: bool | None = None,
        highlighter: HighlighterType | None = None,
    ) -> Text:
        """Make a text of a line, with the commands in it as they can be called here."""
        return super().render_str(
            callable_here(text),
            style=style,
            justify=justify,
            overflow=overflow,
            emoji=emoji,
            markup=markup,
            highlight=highlight,
            highlighter=highlighter,
        )

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of a renderable, those of texts without control characters."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


class OneLine(logging.Formatter):
    """Format a record as one line that can be seen, before its traceback."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        return one_line(super().formatMessage(record))
