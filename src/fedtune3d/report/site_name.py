"""A site's name in a terminal table: in narrow columns it continues on the next line, and nothing of it is cut off."""

import textwrap

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text


class SiteName:
    """A name that is broken after its hyphens, and inside a part only where the column is narrower than that part."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the widths of its longest part, and of the whole name."""
        longest = max(map(len, textwrap.wrap(self.name, 1, break_long_words=False)), default=0)
        return Measurement(longest, len(self.name)).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines of the name."""
        yield Text("\n".join(textwrap.wrap(self.name, max(1, options.max_width))), overflow="fold")
