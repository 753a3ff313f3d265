"""Wait for a condition, with a limit: a test that waits for a time is a race."""

import subprocess
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

PATIENCE_SECONDS = 300.0


def wait_until(
    condition: Callable[[], Found], what: str, seconds: float = PATIENCE_SECONDS, pause_seconds: float = 0.1
) -> Found:
    """Wait until a condition holds, and return what it gave.

    Raises:
        AssertionError: When it does not hold in time; says for what the test waited.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(pause_seconds)
    raise AssertionError(f"waited {seconds:g} s in vain for: {what}")


def wait_while_running(process: "subprocess.Popen[bytes]", condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds while a process runs, looking every few milliseconds.

    Raises:
        AssertionError: When the process ends first, with what it printed, or the condition does not hold in time.
    """
    wait_until(lambda: condition() or process.poll() is not None, what, pause_seconds=0.002)
    printed = b"" if process.poll() is None or process.stdout is None else process.stdout.read()
    assert process.poll() is None, f"it ended before: {what}; it printed {printed!r}"
