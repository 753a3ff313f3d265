"""Jobs that other processes can import."""

import os
import signal
from pathlib import Path

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
