"""A bounded port in a process of its own, in front of an app that reads whatever it is sent: run with a folder.

Writes the port to the folder's `port`; the app answers with the number of bytes that it read.
"""

import socket
import sys
from pathlib import Path

import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from fedtune3d.federation.flower.connections import HEAD_BYTES, BoundedConnection
from fedtune3d.federation.flower.door import Door


async def greedy(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the whole body."""
    body = await Request(scope, receive).body()
    await PlainTextResponse(f"read {len(body)} bytes")(scope, receive, send)


def main() -> None:
    """Listen until killed."""
    folder = Path(sys.argv[1])
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    config = uvicorn.Config(
        Door(greedy, folder / "open"),
        http=BoundedConnection,
        h11_max_incomplete_event_size=HEAD_BYTES,
        ws="none",
        lifespan="off",
        log_level="error",
    )
    (folder / "port").write_text(str(listener.getsockname()[1]))
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
