"""Access control of a server by the headers of a request, before any of its body is read.

Flower reads and parses a body before it checks the key. Here, a request from another machine is refused unread if sites
do not need its path, it is not signed by a known site, or its body is too long for its path. Requests that come too
fast are delayed.
"""

import asyncio
import base64
import binascii
import ipaddress
import json
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import write_bytes

FLEET = "/v1/fleet/"
PUSH_OBJECT, PUSH_MESSAGES = f"{FLEET}push-object", f"{FLEET}push-messages"
KEY_HEADER, SIGNATURE_HEADER, TIME_HEADER = b"flwr-public-key", b"flwr-signature", b"flwr-timestamp"
BEHIND_SECONDS, AHEAD_SECONDS = 305.0, 5.0
"""Accepted age of a signature, and accepted offset into the future, as in Flower."""
MAX_HEADER_BYTES = 4096


@dataclass(frozen=True)
class DoorLimits:
    """Limits on the requests of a site.

    Attributes:
        object_bytes: Maximum body with an object: a piece of a tensor (5 MiB) or the JSON of an answer.
        message_bytes: Maximum body that announces an answer by the ids of its objects.
        other_bytes: Maximum body of any other request.
        answer_bytes: Maximum total size of the objects of one answer.
        per_second: Sustained number of requests per second.
        burst: Number of requests that may exceed the rate.
        at_once: Concurrent requests of one site; further ones wait.
        read_seconds: Timeout for the next piece of a body.
    """

    object_bytes: int = 66 << 20
    message_bytes: int = 8 << 20
    other_bytes: int = 64 << 10
    answer_bytes: int = 4 << 30
    per_second: float = 200.0
    burst: int = 2000
    at_once: int = 8
    read_seconds: float = 60.0

    def body(self, path: str) -> int:
        """Return the maximum length of a body for a path."""
        return {PUSH_OBJECT: self.object_bytes, PUSH_MESSAGES: self.message_bytes}.get(path, self.other_bytes)


@dataclass
class _Visitor:
    """The state of a site at the door: its rate of requests, and the size of its current answer so far."""

    turn: asyncio.Semaphore
    tokens: float
    seen: float = field(default_factory=time.monotonic)
    answer_bytes: int = 0

    def wait_seconds(self, limits: DoorLimits, now: float) -> float:
        """Consume one request from the rate limit; return the seconds to wait (token bucket)."""
        self.tokens = min(limits.burst, self.tokens + (now - self.seen) * limits.per_second) - 1
        self.seen = now
        return max(0.0, -self.tokens / limits.per_second)


@dataclass(frozen=True)
class _Refusal:
    status: int
    text: str


def open_door(path: Path, keys: list[bytes] | None) -> None:
    """Start to admit sites.

    Args:
        path: The file that opens the door; holds the keys.
        keys: Public keys in Flower's format; None if no key is required (`insecure`).
    """
    known = None if keys is None else [base64.b64encode(key).decode() for key in keys]
    write_bytes(path, json.dumps(known).encode(), private=True)


class Door:
    """ASGI middleware that lets other machines use only the paths that sites need, signed by a known site.

    Flower's Control API can start runs and register keys without authentication, so it is open to this machine only.
    Sites are asked to retry until the door's file exists, which shows that the server has registered their keys.

    Args:
        app: The SuperLink.
        door: The file that `open_door` writes.
        limits: Limits on the requests of a site.
    """

    def __init__(self, app: ASGIApp, door: Path, limits: DoorLimits | None = None) -> None:
        self.app = app
        self.door = door
        self.limits = limits or DoorLimits()
        self._visitors: dict[str, _Visitor] = defaultdict(self._new_visitor)
        self._keys: frozenset[bytes] | None = None
        self._read_at = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it unread and close the connection."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await _refuse(refusal, scope, receive, send)
        elif scope["path"].startswith(FLEET):
            await self._admit(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _new_visitor(self) -> _Visitor:
        return _Visitor(asyncio.Semaphore(self.limits.at_once), float(self.limits.burst))

    def _refusal(self, scope: Scope) -> _Refusal | None:
        """Return why a request is refused, judging by its headers only; None if it is admitted."""
        path = scope["path"]
        if not path.startswith(FLEET):
            return None if _is_here(scope) else _Refusal(403, "only /v1/fleet/ is open to other machines")
        if not self.door.exists():
            return _Refusal(503, "not yet")
        headers = dict(scope["headers"])
        if not self._is_known(headers):
            return _Refusal(401, "not signed by a site known to this server")
        length = headers.get(b"content-length", b"")
        if scope["method"] != "POST" or b"transfer-encoding" in headers or not length.isdigit() or len(length) > 15:
            return _Refusal(411, "a body with a stated length is required")
        if int(length) > self.limits.body(path):
            return _Refusal(413, f"at most {self.limits.body(path)} bytes are accepted here")
        return None

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        visitor = self._visitors[_name_of(scope, headers)]
        if scope["path"] == PUSH_MESSAGES:
            visitor.answer_bytes = 0
        if scope["path"] == PUSH_OBJECT:
            visitor.answer_bytes += int(headers[b"content-length"])
            if visitor.answer_bytes > self.limits.answer_bytes:
                too_much = _Refusal(413, f"an answer has at most {self.limits.answer_bytes} bytes")
                await _refuse(too_much, scope, receive, send)
                return
        await asyncio.sleep(visitor.wait_seconds(self.limits, time.monotonic()))
        async with visitor.turn:
            await self.app(scope, self._patient(receive), send)

    def _patient(self, receive: Receive) -> Receive:
        """Read the body with a timeout for clients that stop sending."""
        body_read = False

        async def next_message() -> Message:
            nonlocal body_read
            if body_read:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self.limits.read_seconds)
            except TimeoutError:
                message = {"type": "http.disconnect"}
            body_read = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        return next_message

    def _is_known(self, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether a known key has signed a time close to this machine's clock."""
        keys = self._known_keys()
        if keys is None:
            return True
        values = [headers.get(name, b"") for name in (KEY_HEADER, SIGNATURE_HEADER, TIME_HEADER)]
        if any(len(value) > MAX_HEADER_BYTES for value in values):
            return False
        key, signature, signed = values
        return key in keys and _is_near(signed) and _has_signed(key, signature, signed)

    def _known_keys(self) -> frozenset[bytes] | None:
        """Return the keys in the door's file, reread when it changes; None if none is required."""
        changed = self.door.stat().st_mtime_ns
        if changed != self._read_at:
            known = json.loads(self.door.read_text())
            self._keys = None if known is None else frozenset(key.encode() for key in known)
            self._read_at = changed
        return self._keys


async def _refuse(refusal: _Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    answer = PlainTextResponse(refusal.text, refusal.status, headers={"connection": "close"})
    await answer(scope, receive, send)


def _name_of(scope: Scope, headers: Mapping[bytes, bytes]) -> str:
    """Return the sender of a request: its key, or its address if no key is required."""
    key = headers.get(KEY_HEADER)
    client = scope.get("client")
    return key.decode("latin-1") if key and len(key) <= MAX_HEADER_BYTES else str(client and client[0])


def _is_here(scope: Scope) -> bool:
    """Return whether a request comes from this machine."""
    client = scope.get("client")
    return client is not None and ipaddress.ip_address(client[0]).is_loopback


def _is_near(signed: bytes) -> bool:
    try:
        age = (datetime.now(UTC) - datetime.fromisoformat(signed.decode("ascii"))).total_seconds()
    except (ValueError, TypeError):  # TypeError: a time without an offset
        return False
    return -AHEAD_SECONDS < age < BEHIND_SECONDS


def _has_signed(key: bytes, signature: bytes, signed: bytes) -> bool:
    try:
        _public_key(key).verify(base64.b64decode(signature, validate=True), signed, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error):
        return False
    return True


@lru_cache(maxsize=1024)
def _public_key(key: bytes) -> ec.EllipticCurvePublicKey:
    loaded = serialization.load_pem_public_key(base64.b64decode(key))
    if not isinstance(loaded, ec.EllipticCurvePublicKey):
        raise InputError("expected an ECDSA key (ssh-keygen -t ecdsa -b 384), got another kind")
    return loaded
