"""Signals that stop a program: held back while it does what must not be interrupted, and not lost by Python."""

import _thread
import signal
import sys
import threading
from collections.abc import Iterator, Set
from contextlib import contextmanager

AGAIN_SECONDS = 0.02


@contextmanager
def no_lost_interrupt() -> Iterator[None]:
    """Raise a `KeyboardInterrupt` again that Python dropped during the block.

    It drops one that comes while a finaliser runs, such as that of a lock, or the callback of a weak reference: such
    code has no caller, so Python prints the error and goes on.
    """
    before = sys.unraisablehook

    def hook(dropped: "sys.UnraisableHookArgs") -> None:
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            again = threading.Timer(AGAIN_SECONDS, _thread.interrupt_main)  # when the finaliser has ended
            again.daemon = True
            again.start()
        else:
            before(dropped)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


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
