"""Signals that stop a program, held back while it does what must not be interrupted."""

import signal
import threading
from collections.abc import Iterator, Set
from contextlib import contextmanager


@contextmanager
def held_back(numbers: Set[signal.Signals]) -> Iterator[None]:
    """Hold signals back during the block; processes and threads started in it block these signals for good.

    A signal that arrives during the block is delivered after it. Blocking alone is not enough: a thread of a library
    that does not block the signal takes it, and Python then runs the handler in the main thread all the same.
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in numbers} if is_main else {}
    arrived: list[int] = []
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        for number in before:
            signal.signal(number, lambda number, frame: arrived.append(number))
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for one in dict.fromkeys(arrived):
            signal.raise_signal(one)
