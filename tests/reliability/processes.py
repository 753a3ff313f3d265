"""Commands in processes of their own that import nothing anew: forked from a server that has everything loaded."""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from commands import draw_nothing

from fedtune3d.cli.app import main

PRELOADED = ("processes", "kinds", "fedtune3d.workflows.run", "fedtune3d.workflows.study", "fedtune3d.workflows.export")
FINISH_SECONDS = 300


@dataclass
class Running:
    """A command that was started."""

    process: ForkServerProcess
    log: Path
    began: float

    def wait(self, seconds: float = FINISH_SECONDS) -> int | None:
        """Return the exit code, or None if it has not ended by then."""
        self.process.join(seconds)
        return self.process.exitcode

    def kill(self) -> None:
        """Send SIGKILL."""
        self.process.kill()
        self.process.join()

    @property
    def said(self) -> str:
        """What it wrote to standard error and standard output."""
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""


def start(arguments: Sequence[object], log: Path, before: Callable[[], None] | None = None) -> Running:
    """Start `fedtune3d ARGUMENTS`.

    Args:
        arguments: Of the command line.
        log: Where its output goes.
        before: Called in the process before the command; must be picklable.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    words = [str(argument) for argument in arguments]
    process = context.Process(target=_command, args=(words, str(log), before))
    process.start()
    return Running(process, log, time.monotonic())


def refused_in_one_line(running: Running) -> bool:
    """Whether a command that ended was refused in words: exit code 2, one line of the program's, no traceback."""
    lines = [line for line in running.said.splitlines() if line.startswith("fedtune3d: ")]
    return running.process.exitcode == 2 and len(lines) == 1 and "Traceback" not in running.said


def _command(words: list[str], log: str, before: Callable[[], None] | None) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for standard in (1, 2):
        os.dup2(handle, standard)
    draw_nothing()
    if before is not None:
        before()
    with contextlib.suppress(KeyboardInterrupt):
        main(words)
