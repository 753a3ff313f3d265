"""A run's report on loopback while it runs: only the page, only under a secret path, only for this machine."""

import base64
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Self

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Advance, Progress
from fedtune3d.report.live import LivePage

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
TELL_SECONDS = 1.0
"""How often readers are told what is new, at the most."""
ALIVE_SECONDS = 10.0
"""How often a reader is written to when nothing is new, so that one who has gone is noticed."""
END_SECONDS = 5.0
"""How long the end of a run waits for its readers to have the final page."""


class Watch:
    """Serves the page of a run on loopback for the length of a block, which ends with the run's own report.html.

    The address holds a secret, as other users of this machine can reach its loopback, too. A page is drawn in the
    thread that was asked for it, only where the run folder has changed since; nothing is written, and nothing that the
    run computes with (PyTorch, its random numbers) is touched.

    Args:
        output: The run folder; it need not be there yet.
        port: None for a free one.

    Raises:
        InputError: When the port is taken.
    """

    def __init__(self, output: Path, port: int | None = None) -> None:
        self.run = RunFolder(output)
        self.page = LivePage(output)
        self.secret = secrets.token_urlsafe(16)
        self.changed = threading.Condition()
        self.state, self.last_word = "running", ""
        self.doing: dict[int, str] = {}
        self.readers = 0
        try:
            self.server = _Server(self, port or 0)
        except OSError as error:
            raise InputError(
                f"--port {port}: {error.strerror}; choose another, or leave it out for a free one"
            ) from None
        self.port = int(self.server.server_address[1])
        self.url = f"http://{HOST}:{self.port}/{self.secret}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.1,), daemon=True, name="watch").start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with self.changed:
            self.state, self.last_word = ("done", "Done.") if error is None else ("stopped", f"Stopped: {_said(error)}")
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.readers == 0, END_SECONDS)
        self.server.shutdown()
        self.server.server_close()

    def following(self, progress: Progress) -> Progress:
        """The same progress, which the page shows, too."""
        return _Followed(progress, self.doing)

    def told(self) -> dict[str, str]:
        """What a reader is told: `state`, `version`, `status` and what is being done just now, as `doing`."""
        try:
            at = self.page.status()
        except InputError as error:  # a damaged file: the page stays as it is
            at = {"version": "", "status": str(error)}
        told = {"state": self.state, "doing": next(reversed(list(self.doing.values())), ""), **at}
        return told if self.state == "running" else told | {"status": self.last_word, "doing": ""}

    def html(self) -> bytes:
        """The page; when the run is done, its report as it was written."""
        return self.run.report.read_bytes() if self.state == "done" else self.page.html().encode()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count a reader, for whom the end of the run waits."""
        with self.changed:
            self.readers += 1
        try:
            yield
        finally:
            with self.changed:
                self.readers -= 1
                self.changed.notify_all()


def _said(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "go on with --resume"
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"


class _Followed:
    """Another progress, with the bars that are open now in words."""

    def __init__(self, progress: Progress, doing: dict[int, str]) -> None:
        self.progress, self.doing = progress, doing

    @contextmanager
    def bar(self, text: str) -> Iterator[Advance]:
        """A bar of the other one."""
        with self.progress.bar(text) as inner:

            def advance(done: int, total: int) -> None:
                self.doing[id(inner)] = f"{text}: {done} of {total}"
                inner(done, total)

            try:
                yield advance
            finally:
                self.doing.pop(id(inner), None)

    def note(self, text: str) -> None:
        """A line of the other one."""
        self.progress.note(text)


class _Server(ThreadingTCPServer):
    """On loopback only. Unlike `HTTPServer`, it asks no name server for its own name."""

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere this would share a port that is taken

    def __init__(self, watch: Watch, port: int) -> None:
        self.watch = watch
        super().__init__((HOST, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away is no news; the run continues either way."""
        if not isinstance(error := sys.exception(), OSError):
            logger.warning("watch: %s: %s", type(error).__name__, error)


class _Handler(BaseHTTPRequestHandler):
    """Answers two addresses: the page, and the stream of what is new."""

    server: _Server
    timeout = 30
    server_version, sys_version = "fedtune3d", ""

    def do_GET(self) -> None:
        """Refuse other host names: a page elsewhere could have its own name point to this machine."""
        watch = self.server.watch
        if self.headers.get("Host", "").lower() not in (f"{HOST}:{watch.port}", f"localhost:{watch.port}"):
            return self.send_error(HTTPStatus.FORBIDDEN)
        if hmac.compare_digest(self.path.encode(), f"/{watch.secret}/".encode()):
            return self._send_page(watch)
        if hmac.compare_digest(self.path.encode(), f"/{watch.secret}/events".encode()):
            return self._tell(watch)
        return self.send_error(HTTPStatus.NOT_FOUND)

    def _send_page(self, watch: Watch) -> None:
        try:
            page = watch.html()
        except InputError as error:
            return self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, explain=str(error))
        self._send_head("text/html; charset=utf-8", _policy(page))
        self.wfile.write(page)

    def _tell(self, watch: Watch) -> None:
        """What is new, as server-sent events, until the run ends and the reader has closed the stream."""
        before, written = None, 0.0
        with watch.reading():
            self._send_head("text/event-stream", "default-src 'none'")
            while True:
                told = watch.told()
                if told != before or time.monotonic() > written + ALIVE_SECONDS:
                    self.wfile.write(f"data: {json.dumps(told)}\n\n".encode() if told != before else b":\n\n")
                    before, written = told, time.monotonic()
                if told["state"] != "running":
                    self.connection.settimeout(END_SECONDS)
                    self.connection.recv(1)
                    return
                with watch.changed:
                    watch.changed.wait(TELL_SECONDS)

    def _send_head(self, kind: str, policy: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", policy)
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal is the run's."""


def _policy(page: bytes) -> str:
    """No script but the page's own, no connection but back here, nothing from elsewhere."""
    scripts = re.findall(rb"<script>(.*?)</script>", page, flags=re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
