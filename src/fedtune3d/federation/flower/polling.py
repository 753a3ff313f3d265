"""How often a site asks its server for the next message."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

AGAIN_SECONDS = 0.5
EAGER_SECONDS = 10.0


class Polling:
    """Asks again soon for a while after a message, as a run with short rounds would otherwise wait more than it trains.

    A SuperNode waits 3 s after each request without a message. For `EAGER_SECONDS` after the answer to a message, this
    asks again every `AGAIN_SECONDS` before it lets the SuperNode wait; at other times it asks once, so that many idle
    sites burden a server as little as before.

    Args:
        clock: The time in seconds.
        sleep: Waits for seconds.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._has_answered = False
        self._eager_until = float("-inf")

    def ask(self, receive: Callable[[], T | None]) -> T | None:
        """Return the next message, or None if there is none; called again once the last message was answered."""
        if self._has_answered:
            self._eager_until = self._clock() + EAGER_SECONDS
        while (found := receive()) is None and self._clock() < self._eager_until:
            self._sleep(AGAIN_SECONDS)
        self._has_answered = found is not None
        return found
