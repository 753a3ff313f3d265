"""The console of all commands, and the log lines of `site join`: neither runs what a foreign text holds."""

import logging
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from fedtune3d._utils.foreign_text import one_line, printable


class PlainConsole(Console):
    """A console that shows every text as it is: no markup, and control characters are written out.

    Sites' names, faults, file names and values of tables reach the console by many ways (lines, tables, progress
    bars); all pass here.
    """

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = False) -> None:
        super().__init__(stderr=stderr, soft_wrap=soft_wrap, highlight=False, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of a renderable, those of texts without control characters."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


class OneLine(logging.Formatter):
    """Format a record as one line that can be seen, before its traceback."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        return one_line(super().formatMessage(record))
