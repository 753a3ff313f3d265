"""A local web server that shows the report of a run while it runs, under a secret path and on loopback only."""

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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Protocol, Self

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Advance, Progress
from fedtune3d.report.live import LivePage
from fedtune3d.report.number_formatting import about

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
UPDATE_SECONDS = 1.0
"""Minimum time between two messages to a reader."""
ALIVE_SECONDS = 10.0
"""Time between two keep-alive messages, by which a closed connection is noticed."""
END_SECONDS = 5.0
"""Maximum time that the end of a run waits for its readers to load the final page."""


class Page(Protocol):
    """A page that changes while it is served."""

    def status(self) -> Mapping[str, str]:
        """Return `version`, which changes whenever the page would, and `status`, one sentence."""

    def html(self) -> str:
        """Return the page."""


class Watch:
    """Serve the page of a run on loopback within a `with` block; the final page is the run's own report.html.

    The address contains a secret because other users of the machine can reach its loopback as well. A page is drawn in
    the thread of its request, and only if the run folder has changed. Nothing is written, and nothing that the run
    computes with (PyTorch, its random numbers) is touched.

    Args:
        output: The run folder; it need not exist yet.
        port: None for any free port.
        page: Another page to serve in the place of a run's.

    Raises:
        InputError: If the port is taken.
    """

    def __init__(self, output: Path, port: int | None = None, page: Page | None = None) -> None:
        self.run = RunFolder(output)
        self.page: Page = page or LivePage(output)
        self.secret = secrets.token_urlsafe(16)
        self.changed = threading.Condition()
        self.state, self.final_status = "running", ""
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
            self.state = "done" if error is None else "stopped"
            self.final_status = "Done." if error is None else f"Stopped: {self.reason(error)}"
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.readers == 0, END_SECONDS)
        self.server.shutdown()
        self.server.server_close()

    def reason(self, error: BaseException) -> str:
        """Say why it stopped, in one line."""
        if isinstance(error, KeyboardInterrupt):
            return "interrupted; continue with --resume"
        return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"

    def following(self, progress: Progress) -> Progress:
        """Return a progress that is shown on the page as well."""
        return _Followed(progress, self.doing)

    def message(self) -> dict[str, str]:
        """Return the message to a reader: `state`, `version`, `status` and the current activity, as `doing`."""
        try:
            at = self.page.status()
        except InputError as error:  # a damaged file: the page stays as it is
            at = {"version": "", "status": str(error)}
        message = {"state": self.state, "doing": next(reversed(list(self.doing.values())), ""), **at}
        return message if self.state == "running" else message | {"status": self.final_status, "doing": ""}

    def html(self) -> bytes:
        """Return the page; when the run is done, its report as written."""
        return self.run.report.read_bytes() if self.state == "done" else self.page.html().encode()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count a reader, so that the end of the run waits for it."""
        with self.changed:
            self.readers += 1
        try:
            yield
        finally:
            with self.changed:
                self.readers -= 1
                self.changed.notify_all()


class SiteWatch(Watch):
    """Serve the page of a site on loopback while it has joined a federation.

    Args:
        folder: The site's folder.
        page: Its page.
        port: None for any free port.
    """

    def __init__(self, folder: Path, page: Page, port: int | None = None) -> None:
        super().__init__(folder, port, page)

    def reason(self, error: BaseException) -> str:
        """Say why it stopped; Ctrl-C is how a site leaves."""
        return "left the federation" if isinstance(error, KeyboardInterrupt) else super().reason(error)


def _left(began: float, first: int, done: int, total: int) -> str:
    """Estimate the time left of a bar by its pace since the first step seen; empty until a step took a second."""
    seconds = time.monotonic() - began
    if done <= first or done >= total or seconds < 1:
        return ""
    return f", {about(seconds * (total - done) / (done - first))} left"


class _Followed:
    """A wrapper of a progress that also describes its open bars in words."""

    def __init__(self, progress: Progress, doing: dict[int, str]) -> None:
        self.progress, self.doing = progress, doing

    @contextmanager
    def bar(self, text: str) -> Iterator[Advance]:
        """Open a bar of the wrapped progress."""
        with self.progress.bar(text) as inner:
            began: list[tuple[float, int]] = []

            def advance(done: int, total: int) -> None:
                if not began:
                    began.append((time.monotonic(), done))
                self.doing[id(inner)] = f"{text}: {done} of {total}{_left(*began[0], done, total)}"
                inner(done, total)

            try:
                yield advance
            finally:
                self.doing.pop(id(inner), None)

    def note(self, text: str) -> None:
        """Print a line by the wrapped progress."""
        self.progress.note(text)


class _Server(ThreadingTCPServer):
    """A server on loopback. Unlike `HTTPServer`, it does not look up its own host name."""

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere this would share a port that is taken

    def __init__(self, watch: Watch, port: int) -> None:
        self.watch = watch
        super().__init__((HOST, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log errors, except for closed connections; the run continues either way."""
        if not isinstance(error := sys.exception(), OSError):
            logger.warning("watch: %s: %s", type(error).__name__, error)


class _Handler(BaseHTTPRequestHandler):
    """Handle the requests for two addresses: the page, and the stream of updates."""

    server: _Server
    timeout = 30
    server_version, sys_version = "fedtune3d", ""

    def do_GET(self) -> None:
        """Serve the page or the stream; refuse other host names, which protects against DNS rebinding."""
        watch = self.server.watch
        if self.headers.get("Host", "").lower() not in (f"{HOST}:{watch.port}", f"localhost:{watch.port}"):
            return self.send_error(HTTPStatus.FORBIDDEN)
        if hmac.compare_digest(self.path.encode(), f"/{watch.secret}/".encode()):
            return self._send_page(watch)
        if hmac.compare_digest(self.path.encode(), f"/{watch.secret}/events".encode()):
            return self._stream(watch)
        return self.send_error(HTTPStatus.NOT_FOUND)

    def _send_page(self, watch: Watch) -> None:
        try:
            page = watch.html()
        except InputError as error:
            return self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, explain=str(error))
        self._send_head("text/html; charset=utf-8", _policy(page))
        self.wfile.write(page)

    def _stream(self, watch: Watch) -> None:
        """Send updates as server-sent events until the run ends and the reader has closed the stream."""
        before, written = None, 0.0
        with watch.reading():
            self._send_head("text/event-stream", "default-src 'none'")
            while True:
                message = watch.message()
                if message != before or time.monotonic() > written + ALIVE_SECONDS:
                    self.wfile.write(f"data: {json.dumps(message)}\n\n".encode() if message != before else b":\n\n")
                    before, written = message, time.monotonic()
                if message["state"] != "running":
                    self.connection.settimeout(END_SECONDS)
                    self.connection.recv(1)
                    return
                with watch.changed:
                    watch.changed.wait(UPDATE_SECONDS)

    def _send_head(self, kind: str, policy: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", policy)
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: the terminal belongs to the run."""


def _policy(page: bytes) -> str:
    """Return a Content-Security-Policy with the page's own scripts and connections to this server only."""
    scripts = re.findall(rb"<script>(.*?)</script>", page, flags=re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
