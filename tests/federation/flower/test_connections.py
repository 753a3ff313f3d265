"""Connections that cost too much are closed."""

import asyncio
import socket
from collections.abc import Callable
from types import SimpleNamespace

import pytest

pytest.importorskip("flwr")

import uvicorn

from fedtune3d.federation.flower import connections
from fedtune3d.federation.flower.connections import HEAD_BYTES, BoundedConnection


async def nothing(scope: object, receive: object, send: object) -> None:
    """An app that is never asked."""


def listen(then: Callable[[int], None]) -> None:
    """Run `then` with the port of a bounded server, in a thread of its own."""
    config = uvicorn.Config(nothing, http=BoundedConnection, h11_max_incomplete_event_size=HEAD_BYTES, lifespan="off")
    config.load()
    state = SimpleNamespace(connections=set(), tasks=set(), default_headers=[], total_requests=0)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: BoundedConnection(config, state, {}), "127.0.0.1", 0)  # type: ignore[arg-type]
        port = server.sockets[0].getsockname()[1]
        await loop.run_in_executor(None, then, port)
        server.close()

    asyncio.run(serve())


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed; waits for it at most 5 s."""
    connection.settimeout(5)
    try:
        return connection.recv(1000) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def test_a_head_that_does_not_come_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)

    def idle(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as silent:
            assert is_closed(silent)
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(b"POST / HTTP/1.1\r\nhost: x\r\n")
            assert is_closed(slow)

    listen(idle)


def test_too_many_from_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_PER_ADDRESS", 3)

    def crowd(port: int) -> None:
        first = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        with socket.create_connection(("127.0.0.1", port)) as fourth:
            assert is_closed(fourth)
        for connection in first:
            connection.close()

    listen(crowd)


def test_an_endless_head() -> None:
    def endless(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            try:
                for _ in range(100):
                    connection.sendall(b"x" * 100_000)
                answered = connection.recv(100)
            except ConnectionError:
                answered = b""
            assert answered[:12] in (b"", b"HTTP/1.1 400")

    listen(endless)
