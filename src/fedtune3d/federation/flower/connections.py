"""Limits on connections to a server's port: their number, the length of a header, and the time to send it."""

import asyncio
from collections import Counter
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 1000
MAX_PER_ADDRESS = 100
HEAD_SECONDS = 15.0
"""Timeout for the headers of a request, from the start of the connection."""
HEAD_BYTES = 32 << 10


class BoundedConnection(H11Protocol):
    """A connection that is closed if there are too many, or if the headers do not arrive in time."""

    _of: ClassVar[Counter[str]] = Counter()
    _address = ""
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection; close it unread if there are too many."""
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self._of[self._address] += 1
        if self._of[self._address] > MAX_PER_ADDRESS or self._of.total() > MAX_CONNECTIONS:
            transport.abort()
            return
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._close_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection's slot."""
        self._of[self._address] -= 1
        if not self._of[self._address]:
            del self._of[self._address]
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Process data, and restart the timeout once a request is answered."""
        waits_for_head = self.cycle is None or self.cycle.response_complete
        super().data_received(data)
        if self._deadline is not None and self.cycle is not None and not self.cycle.response_complete:
            self._deadline.cancel()
            self._deadline = None
        elif waits_for_head and self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._close_if_idle)

    def _close_if_idle(self) -> None:
        self._deadline = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
