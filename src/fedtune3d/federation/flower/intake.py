"""What a site takes from its server: bounded while it is read, before anything is made of it."""

import threading
from collections.abc import Iterator

import httpx

MAX_MESSAGE_BYTES = "FEDTUNE3D_MAX_MESSAGE_BYTES"
"""The environment's name for the most bytes that a SuperNode takes for one message."""
ALLOWANCE_BYTES = 4_000_000
"""For what stands next to a message's tensors: the experiment, names, Flower's heads of its pieces."""
UNBOUNDED_BYTES = 4 << 30
"""Where `policy.max_payload_mb` is not given."""


class IntakeExceededError(RuntimeError):
    """A message is longer than the site takes."""


def message_bound(max_payload_mb: float | None) -> int:
    """The most bytes of a message, from the site's policy."""
    return UNBOUNDED_BYTES if max_payload_mb is None else int(max_payload_mb * 1e6) + ALLOWANCE_BYTES


def intake_environment(max_payload_mb: float | None) -> dict[str, str]:
    """The environment of a SuperNode that keeps to the site's policy; with a bound, it pulls one object at a time."""
    bound = {MAX_MESSAGE_BYTES: str(message_bound(max_payload_mb))}
    return bound if max_payload_mb is None else bound | {"FLWR_PRIVATE_MAX_CONCURRENT_OBJ_PULLS": "1"}


class Intake:
    """Counts the bytes of a message over all its requests, and stops reading at the bound.

    Attributes:
        max_bytes: Of one message.
        exceeded: Whether the present message is longer.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.exceeded = False
        self._taken = 0
        self._lock = threading.Lock()

    def next_message(self) -> None:
        """Count from nothing again."""
        with self._lock:
            self.exceeded, self._taken = False, 0

    def take(self, count: int) -> None:
        """Count bytes that are about to be kept. Raises `IntakeExceededError` where they are too many."""
        with self._lock:
            self._taken += count
            self.exceeded |= self._taken > self.max_bytes
        if self.exceeded:
            raise IntakeExceededError(self.reason)

    @property
    def reason(self) -> str:
        """Why a message was not taken, in one line for the server."""
        bound = (self.max_bytes - ALLOWANCE_BYTES) / 1e6
        return f"refused: policy.max_payload_mb is {bound:,.0f}, and the message is longer; its rest was not read"

    def guard(self, client: httpx.Client) -> None:
        """Let a client read through this intake, follow no redirection, and expand nothing that is compressed."""
        client.follow_redirects = False
        client.headers["accept-encoding"] = "identity"
        client.event_hooks = {"request": [], "response": [self._bound]}

    def _bound(self, response: httpx.Response) -> None:
        """Count a response before it is read, or while it is where its length is not stated."""
        if "content-encoding" in response.headers:
            raise IntakeExceededError("the server sent a compressed answer, which nobody asked for")
        length = response.headers.get("content-length", "")
        if length.isdigit():
            self.take(int(length))
        else:
            response.stream = _Counted(response.stream, self)


class _Counted(httpx.SyncByteStream):
    def __init__(self, stream: object, intake: Intake) -> None:
        if not isinstance(stream, httpx.SyncByteStream):
            raise TypeError(f"expected a stream of a response, got {type(stream).__name__}")
        self._stream = stream
        self._intake = intake

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self._intake.take(len(chunk))
            yield chunk

    def close(self) -> None:
        self._stream.close()
