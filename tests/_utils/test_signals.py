"""Signals held back, also where a thread of a library takes them, and Ctrl-C in code that has no caller."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from fedtune3d._utils.signals import held_back, no_lost_interrupt


@pytest.fixture
def seen() -> Iterator[list[int]]:
    """The signals that were delivered, by a handler in the place of pytest's."""
    delivered: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: delivered.append(number))
    yield delivered
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("other_thread", [True, False])
def test_a_signal_arrives_once_and_after_the_block(seen: list[int], other_thread: bool) -> None:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)  # blocks no signal
    if other_thread:
        thread.start()
    with held_back({signal.SIGTERM}):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
        assert seen == []
    assert seen == [signal.SIGTERM]
    ended.set()
    if other_thread:
        thread.join()


def test_what_was_before_is_there_again(seen: list[int]) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    handler = signal.getsignal(signal.SIGTERM)
    blocked = []

    def fail() -> None:
        with held_back({signal.SIGTERM}):
            blocked.extend(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
            raise ValueError("in the block")

    with pytest.raises(ValueError, match="in the block"):
        fail()
    assert signal.SIGTERM in blocked
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert signal.getsignal(signal.SIGTERM) is handler
    assert seen == []


def test_in_another_thread_the_handlers_stay(seen: list[int]) -> None:
    handlers = []

    def hold() -> None:
        with held_back({signal.SIGTERM}):
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGTERM)]


class Interrupted:
    """Its finaliser is where Ctrl-C arrives, or another error."""

    def __init__(self, error: type[BaseException] | None) -> None:
        self.error = error

    def __del__(self) -> None:
        if self.error is not None:
            raise self.error("in a finaliser")
        signal.raise_signal(signal.SIGINT)


def waits_in_vain(error: type[BaseException] | None) -> list[str]:
    """Wait in a block after Ctrl-C in a finaliser; returns what happened before the wait ended with the interrupt."""
    happened: list[str] = []
    awake = threading.Event()

    def wake() -> None:
        happened.append("woken by the test")
        awake.set()

    def wait() -> None:
        with no_lost_interrupt():
            Interrupted(error)
            happened.append("ignored")
            awake.wait()

    rescue = threading.Timer(20, wake)
    rescue.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            wait()
    finally:
        rescue.cancel()
    return happened


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_ctrl_c_in_a_finaliser_is_not_lost(error: type[BaseException] | None) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert waits_in_vain(error) == ["ignored"]
    finally:
        signal.signal(signal.SIGINT, before)


def test_sigterm_in_a_finaliser_is_not_lost_where_sigint_is_ignored() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        assert waits_in_vain(KeyboardInterrupt) == ["ignored"]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_nothing_is_raised_after_the_block() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threads = set(threading.enumerate())
    try:
        with no_lost_interrupt():
            Interrupted(KeyboardInterrupt)
            (timer,) = set(threading.enumerate()) - threads
        timer.join()
        assert not timer.is_alive()
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_error_of_a_finaliser_is_reported_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: reported.append(dropped.exc_type))
    hook = sys.unraisablehook
    with no_lost_interrupt():
        Interrupted(ValueError)
    assert reported == [ValueError]
    assert sys.unraisablehook is hook
