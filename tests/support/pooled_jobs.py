"""Jobs that other processes can import."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from fedtune3d._utils.errors import ScanError


def begin(folder: Path) -> None:
    """Leave a trace of this process."""
    (folder / str(os.getpid())).touch()


def double(number: int, folder: Path) -> tuple[int, bool]:
    """Twice a number, and whether `begin` ran in this process; 3 is an error, and 4 kills the process."""
    if number == 3:
        raise ScanError("c.nii: truncated")
    if number == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number, (folder / str(os.getpid())).exists()


def touch_memory(megabytes: int, seconds: float) -> int:
    """Use so much memory in pieces and free it, take so long, and return the number of this process."""
    pieces = [np.ones(1_000_000) for _ in range(megabytes // 8)]
    time.sleep(seconds)
    del pieces
    return os.getpid()


def count_up(seconds: float) -> None:
    """Compute for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(1000))
