"""Progress of work that takes more than about two seconds: bars on a terminal, lines in a log, or nothing."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichBars

Advance = Callable[[int, int], None]


class Progress(Protocol):
    """A display of progress."""

    def bar(self, text: str) -> AbstractContextManager[Advance]:
        """Show a bar during a block; call the yielded function with (done, total) to update it."""
        ...

    def note(self, text: str) -> None:
        """A line that stays."""
        ...


class Silent:
    """A display that shows nothing."""

    @contextmanager
    def bar(self, text: str) -> Iterator[Advance]:
        """Yield a function that does nothing."""
        yield lambda done, total: None

    def note(self, text: str) -> None:
        """Ignore the line."""


class Lines:
    """A display for logs: one line at the start, one per minute, and one at the end; none for work without steps."""

    def __init__(self, print_line: Callable[[str], None], every_seconds: float = 60) -> None:
        self.print_line = print_line
        self.every_seconds = every_seconds

    @contextmanager
    def bar(self, text: str) -> Iterator[Advance]:
        """Print `text` at the first step, and then the progress."""
        last_printed: float | None = None

        def advance(done: int, total: int) -> None:
            """Print a line at the first step, and after that at most every `every_seconds`."""
            nonlocal last_printed
            if last_printed is None:
                self.print_line(f"{text}: {total}")
            elif time.monotonic() - last_printed < self.every_seconds:
                return
            else:
                self.print_line(f"{text}: {done} of {total}")
            last_printed = time.monotonic()

        yield advance
        if last_printed is not None:
            self.print_line(f"{text}: done")

    def note(self, text: str) -> None:
        """Print the line."""
        self.print_line(text)


class Bars:
    """A display with bars on a console, which stay when they are done."""

    def __init__(self, console: Console) -> None:
        self.bars = RichBars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )

    def __enter__(self) -> "Bars":
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    @contextmanager
    def bar(self, text: str) -> Iterator[Advance]:
        """Show a bar, from its first step."""
        task = self.bars.add_task(text, total=None, visible=False)
        yield lambda done, total: self.bars.update(task, completed=done, total=total, visible=True)

    def note(self, text: str) -> None:
        """Print the line above the bars."""
        self.bars.console.print(text, markup=False, highlight=False, soft_wrap=True)
