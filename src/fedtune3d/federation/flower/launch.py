"""Run Flower's SuperLink or SuperNode in a process that exits with its parent.

Usage: ``python -m fedtune3d.federation.flower.launch superlink|supernode PARENT_PID …``, then Flower's arguments.
"""

import ipaddress
import os
import signal
import sys
import threading
import time
from pathlib import Path

from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fedtune3d.federation.flower.private_api import run_superlink_behind, run_supernode

FLEET = "/v1/fleet/"
GRACE_SECONDS = 10
DOOR = "FEDTUNE3D_DOOR"
"""Environment variable with the path of the file whose existence lets sites connect."""


class OnlySitesFromOutside:
    """Let other machines reach only Flower's Fleet API, which checks the sites' keys.

    Anyone who reaches Flower's Control API can start runs and register keys without authentication, so here it answers
    only this machine. Sites are asked to retry until the file `door` exists, by which the server signals that their
    keys are registered.
    """

    def __init__(self, app: ASGIApp, door: Path) -> None:
        self.app = app
        self.door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, or answer 403 if it is not allowed and 503 before the SuperLink is ready."""
        answer = self._refusal(scope) if scope["type"] == "http" else None
        await (answer or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        if scope["path"].startswith(FLEET):
            return None if self.door.exists() else PlainTextResponse("not yet", 503)
        return None if _is_here(scope) else PlainTextResponse("only /v1/fleet/ is open to other machines", 403)


def _is_here(scope: Scope) -> bool:
    """Return whether a request comes from this machine."""
    client = scope.get("client")
    return client is not None and ipaddress.ip_address(client[0]).is_loopback


def run_superlink() -> None:
    """Run `flower-superlink` behind `OnlySitesFromOutside`."""
    run_superlink_behind(Middleware(OnlySitesFromOutside, door=Path(os.environ[DOOR])))


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
    {"superlink": run_superlink, "supernode": run_supernode}[program]()


if __name__ == "__main__":
    main()
