"""Limits on the messages that a site accepts from its server, enforced while they are read."""

import threading
from collections.abc import Iterator

import httpx

MAX_MESSAGE_BYTES = "FEDTUNE3D_MAX_MESSAGE_BYTES"
"""Environment variable with the maximum size of a message to a SuperNode, in bytes."""
ALLOWANCE_BYTES = 4_000_000
"""Allowance for the rest of a message besides its tensors: the experiment, names and Flower's headers."""
MAX_OBJECT_BYTES = 8 << 20
"""Maximum size of one object of a message: a piece of a tensor has 5 MiB, and the values of a task are shorter."""
UNBOUNDED_BYTES = 4 << 30
"""Maximum size of a message if `policy.max_payload_mb` is not set."""


class IntakeExceededError(RuntimeError):
    """A message is longer than the site accepts."""


def message_bound(max_payload_mb: float | None) -> int:
    """Return the maximum size of a message in bytes, from the site's policy."""
    return UNBOUNDED_BYTES if max_payload_mb is None else int(max_payload_mb * 1e6) + ALLOWANCE_BYTES


def intake_environment(max_payload_mb: float | None) -> dict[str, str]:
    """Return the environment variables of a SuperNode; with a limit, it pulls one object at a time."""
    bound = {MAX_MESSAGE_BYTES: str(message_bound(max_payload_mb))}
    return bound if max_payload_mb is None else bound | {"FLWR_PRIVATE_MAX_CONCURRENT_OBJ_PULLS": "1"}


class Intake:
    """A counter of the bytes of a message over all its requests, which stops reading at the limit.

    Attributes:
        max_bytes: Maximum size of a message.
        exceeded: Whether the current message is longer.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.exceeded = False
        self._received = 0
        self._lock = threading.Lock()

    def next_message(self) -> None:
        """Reset the count for the next message."""
        with self._lock:
            self.exceeded, self._received = False, 0

    def take(self, count: int) -> None:
        """Count received bytes. Raises `IntakeExceededError` if they exceed the limit."""
        with self._lock:
            self._received += count
            self.exceeded |= self._received > self.max_bytes
        if self.exceeded:
            raise IntakeExceededError(self.reason)

    @property
    def reason(self) -> str:
        """The reason for refusing a message, in one line for the server."""
        bound = (self.max_bytes - ALLOWANCE_BYTES) / 1e6
        return f"refused: policy.max_payload_mb is {bound:,.0f}, and the message is longer; its rest was not read"

    def guard(self, client: httpx.Client) -> None:
        """Make a client count its responses, follow no redirects and accept no compression."""
        client.follow_redirects = False
        client.headers["accept-encoding"] = "identity"
        client.event_hooks = {"request": [], "response": [self._bound]}

    def _bound(self, response: httpx.Response) -> None:
        """Count a response before it is read, or while it is read if its length is not stated."""
        if "content-encoding" in response.headers:
            raise IntakeExceededError("the server sent a compressed response, which was not requested")
        length = response.headers.get("content-length", "")
        if length.isdigit():
            self.take(int(length) if int(length) <= MAX_OBJECT_BYTES else self.max_bytes + 1)
        else:
            response.stream = _Counted(response.stream, self)


class _Counted(httpx.SyncByteStream):
    """A stream of unstated length, which may be as long as an object of a message."""

    def __init__(self, stream: object, intake: Intake) -> None:
        if not isinstance(stream, httpx.SyncByteStream):
            raise TypeError(f"expected a response stream, got {type(stream).__name__}")
        self._stream = stream
        self._intake = intake

    def __iter__(self) -> Iterator[bytes]:
        taken = 0
        for chunk in self._stream:
            taken += len(chunk)
            self._intake.take(len(chunk) if taken <= MAX_OBJECT_BYTES else self._intake.max_bytes + 1)
            yield chunk

    def close(self) -> None:
        self._stream.close()
