"""Signals that stop a program: held back while it does what must not be interrupted, and not lost by Python."""

import signal
import sys
import threading
from collections.abc import Iterator, Set
from contextlib import contextmanager

AGAIN_SECONDS = 0.02
"""Time until an ignored interrupt is raised again, by when the finaliser has usually ended."""


@contextmanager
def no_lost_interrupt() -> Iterator[None]:
    """Make sure that Ctrl-C stops the block even if Python ignores the `KeyboardInterrupt` at first.

    Python ignores an exception in a finaliser or in the callback of a weak reference, because nothing could catch it
    there. This raises the interrupt once more in the main thread, a moment later. Where SIGINT itself is ignored, as in
    a background job of a shell, SIGTERM's handler is used, which must raise `KeyboardInterrupt`, too.
    """
    before = sys.unraisablehook
    timers: list[threading.Timer] = []

    def hook(ignored: "sys.UnraisableHookArgs") -> None:
        if not issubclass(ignored.exc_type, KeyboardInterrupt):
            before(ignored)
            return
        number = signal.SIGINT if callable(signal.getsignal(signal.SIGINT)) else signal.SIGTERM
        main = threading.main_thread().ident or 0
        timer = threading.Timer(AGAIN_SECONDS, signal.pthread_kill, (main, number))  # a real one ends a wait, too
        timer.daemon = True
        timer.start()
        timers.append(timer)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in timers:
            timer.cancel()


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
