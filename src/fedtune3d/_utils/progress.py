"""Progress on what takes over two seconds: bars on a terminal, lines in a log, or nothing."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichBars

Advance = Callable[[int, int], None]


class Progress(Protocol):
    """Where progress is shown."""

    def bar(self, text: str) -> AbstractContextManager[Advance]:
        """A bar for the length of a block, moved by calling it with (done, total)."""
        ...


class Silent:
    """Shows nothing."""

    @contextmanager
    def bar(self, text: str) -> Iterator[Advance]:
        """Ignore what it is told."""
        yield lambda done, total: None


class Lines:
    """A line where something begins, one per minute while it runs, and one when it is done, for logs.

    What has no steps is not mentioned.
    """

    def __init__(self, say: Callable[[str], None], every_seconds: float = 60) -> None:
        self.say = say
        self.every_seconds = every_seconds

    @contextmanager
    def bar(self, text: str) -> Iterator[Advance]:
        """Say `text` at the first step, and then how far it is."""
        said: float | None = None

        def advance(done: int, total: int) -> None:
            nonlocal said
            if said is None:
                self.say(f"{text}: {total}")
            elif time.monotonic() - said < self.every_seconds:
                return
            else:
                self.say(f"{text}: {done} of {total}")
            said = time.monotonic()

        yield advance
        if said is not None:
            self.say(f"{text}: done")


class Bars:
    """Bars on a console, one below the other; each stays when it is done."""

    def __init__(self, console: Console) -> None:
        self.bars = RichBars(
            TextColumn("{task.description}"),
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
        """A bar that appears at its first step."""
        task = self.bars.add_task(text, total=None, visible=False)
        yield lambda done, total: self.bars.update(task, completed=done, total=total, visible=True)
