"""Progress of work that takes more than about two seconds: bars on a terminal, lines in a log, or nothing."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import NamedTuple, Protocol

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
    """A display for logs: one line at the start, one per minute with the time left, and one at the end.

    Work without steps, or done before its first step, has no line. A first step that is reported alone does not count
    for the pace: the first round also opens what all others have open, and the first scan starts the processes.
    """

    def __init__(self, print_line: Callable[[str], None], every_seconds: float = 60) -> None:
        self.print_line = print_line
        self.every_seconds = every_seconds

    @contextmanager
    def bar(self, text: str) -> Iterator[Advance]:
        """Print `text` at the first step, and then the progress."""
        first: _Step | None = None
        warm: _Step | None = None
        last_printed = 0.0

        def advance(done: int, total: int) -> None:
            """Print a line at the first step, and after that at most every `every_seconds`."""
            nonlocal first, warm, last_printed
            now = time.monotonic()
            if first is None and done == total:
                return
            if first is not None and warm is None and done == first.done + 1:
                warm = _Step(now, done)
            if first is None:
                first = _Step(now, done)
                self.print_line(f"{text}: {total}")
            elif now - last_printed < self.every_seconds:
                return
            else:
                self.print_line(f"{text}: {done} of {total}{_time_left(warm or first, _Step(now, done), total)}")
            last_printed = now

        yield advance
        if first is not None:
            self.print_line(f"{text}: done")

    def note(self, text: str) -> None:
        """Print the line."""
        self.print_line(text)


class _Step(NamedTuple):
    """A step of a piece of work: when it was reported, and how much was done."""

    seconds: float
    done: int


def _time_left(first: _Step, now: _Step, total: int) -> str:
    """Return the time left at the pace since a step, in words; empty while there is none."""
    if now.done == first.done:
        return ""
    left = (now.seconds - first.seconds) / (now.done - first.done) * (total - now.done)
    return f", {timedelta(seconds=round(left))} left"


class Bars:
    """A display with bars on a console, which stay when they are done."""

    def __init__(self, console: Console) -> None:
        self.bars = RichBars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("·"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
        )

    def __enter__(self) -> "Bars":
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    @contextmanager
    def bar(self, text: str) -> Iterator[Advance]:
        """Show a bar, from its first step that leaves something to do."""
        task = self.bars.add_task(text, total=None, visible=False)
        # None leaves the bar as it is
        yield lambda done, total: self.bars.update(
            task, completed=done, total=total, visible=True if done < total else None
        )

    def note(self, text: str) -> None:
        """Print the line above the bars."""
        self.bars.console.print(text, markup=False, highlight=False, soft_wrap=True)
