"""Run Flower's SuperLink or SuperNode in a process that exits with its parent.

Usage: ``python -m fedtune3d.federation.flower.launch superlink|supernode PARENT_PID …``, then Flower's arguments.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from starlette.middleware import Middleware

from fedtune3d.federation.flower.door import Door
from fedtune3d.federation.flower.intake import MAX_MESSAGE_BYTES, Intake
from fedtune3d.federation.flower.private_api import run_superlink_behind, run_supernode

GRACE_SECONDS = 10
DOOR = "FEDTUNE3D_DOOR"
"""Environment variable with the path of the file whose existence lets sites connect."""


def run_superlink() -> None:
    """Run `flower-superlink` behind its `Door`."""
    run_superlink_behind(Middleware(Door, door=Path(os.environ[DOOR])))


def run_bounded_supernode() -> None:
    """Run `flower-supernode` with the limit on messages given by the environment."""
    run_supernode(Intake(int(os.environ[MAX_MESSAGE_BYTES])))


def end_with(parent: int) -> None:
    """Interrupt this process once its parent has exited, and kill it if it does not stop."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        signal.raise_signal(signal.SIGINT)
        time.sleep(GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Run the Flower program named on the command line."""
    program, parent, *arguments = sys.argv[1:]
    sys.argv = [f"flower-{program}", *arguments]
    end_with(int(parent))
    {"superlink": run_superlink, "supernode": run_bounded_supernode}[program]()


if __name__ == "__main__":
    main()
