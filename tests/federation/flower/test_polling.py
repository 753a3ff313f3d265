"""A site asks often just after a message, and seldom at all other times."""

from collections.abc import Callable

from fedtune3d.federation.flower.polling import AGAIN_SECONDS, EAGER_SECONDS, Polling


class Clock:
    """A time that passes only by waiting."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def polling(clock: Clock) -> Polling:
    return Polling(lambda: clock.now, clock.sleep)


def message_at(clock: Clock, seconds: float) -> Callable[[], str | None]:
    return lambda: "message" if clock.now >= seconds else None


def test_an_idle_site_asks_once() -> None:
    clock = Clock()
    site = polling(clock)
    assert [site.ask(lambda: None) for _ in range(3)] == [None] * 3
    assert clock.waits == []


def test_the_next_message_of_a_run_is_there_soon() -> None:
    clock = Clock()
    site = polling(clock)
    assert site.ask(lambda: "message") == "message"
    clock.now = 100.0  # its task takes long
    assert site.ask(message_at(clock, 101.0)) == "message"
    assert 101.0 <= clock.now < 101.0 + AGAIN_SECONDS


def test_a_site_asks_seldom_again_when_nothing_comes() -> None:
    clock = Clock()
    site = polling(clock)
    site.ask(lambda: "message")
    assert site.ask(lambda: None) is None
    assert EAGER_SECONDS <= clock.now < EAGER_SECONDS + 2 * AGAIN_SECONDS
    before = len(clock.waits)
    assert [site.ask(lambda: None) for _ in range(3)] == [None] * 3
    assert len(clock.waits) == before
