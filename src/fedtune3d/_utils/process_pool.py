"""Independent jobs in several processes of this machine."""

import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.synchronize import Event
from typing import TypeVar

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.backend import get_context
from joblib.externals.loky.backend import resource_tracker as loky_resource_tracker

from fedtune3d._utils.errors import MachineError
from fedtune3d._utils.memory import keep_freed_memory, resident_memory_bytes, return_free_memory
from fedtune3d._utils.signals import held_back

T = TypeVar("T")
MAX_GROWTH_BYTES = 200_000_000
"""Loky takes a process for leaking, and replaces it, if it holds 300 MB more than after its first job."""
POLL_SECONDS = 0.2
STOPPING = {signal.SIGINT, signal.SIGTERM}


def run_in_processes(
    jobs: Sequence[Callable[[], T]], processes: int, begin: Callable[[], None], doing: str
) -> Generator[T, None, None]:
    """Yield the result of each job, in order; the others are cancelled when one fails or the caller stops.

    Unlike multiprocessing's, these processes neither run the caller's script again, so it needs no __main__ guard, nor
    are they forks of this one, which could hang in libraries with threads. SIGINT and SIGTERM, which a terminal or a
    scheduler sends to all of them, end a process's job, but not the process. They end with this process, even if it is
    killed.

    Args:
        jobs: Functions that can be pickled.
        processes: Number of processes.
        begin: Called once in each process, before its first job; must not fail.
        doing: What the processes do, for the message if one of them is killed, such as ``prepares scans``.

    Raises:
        MachineError: If a process is killed.
    """
    context = get_context("loky")
    stopped = context.Event()
    with ProcessPoolExecutor(
        processes, context=context, initializer=_begin, initargs=(begin, stopped, os.getpid())
    ) as pool:
        futures: list[Future[T]] = []
        try:
            for tracker in (resource_tracker, loky_resource_tracker):
                tracker.ensure_running()  # which would unblock the signals below
            with held_back(STOPPING):
                futures += [pool.submit(partial(_carry_out, job)) for job in jobs]
            for future in futures:
                yield _result(future)
        except BrokenProcessPool:
            raise MachineError(
                f"a process that {doing} was killed, perhaps because memory ran out; run again with fewer --workers, "
                "or with more memory"
            ) from None
        finally:
            with held_back(STOPPING):
                stopped.set()
                for future in futures:
                    future.cancel()


def _result(future: "Future[T]") -> T:
    """Wait for a result; a signal is delivered while no lock of the future is held, which others would wait for."""
    while True:
        with held_back(STOPPING):
            if wait([future], timeout=POLL_SECONDS).done:
                return future.result()


@dataclass
class _Process:
    """The state of a process of the pool.

    Attributes:
        stopped: Set once no further job is wanted.
        at_work: Whether a job is being done, which a signal then interrupts.
        interrupted: Whether a signal has come.
        held_bytes: The memory that it held after its first job.
    """

    stopped: Event
    at_work: bool = False
    interrupted: bool = False
    held_bytes: int | None = None


_process: _Process | None = None


def _begin(begin: Callable[[], None], stopped: Event, parent: int) -> None:
    """Initialise a process. Signals interrupt its jobs only: while it waits for one, it may hold the queue's lock."""
    global _process
    _process = _Process(stopped)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    keep_freed_memory()
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as a script has it for what it runs in the background
            signal.signal(number, _interrupt)
    begin()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


def _end_with(parent: int) -> None:
    """End this process once the one that started it has ended, however that was."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _interrupt(number: int, frame: object) -> None:
    process = _this()
    process.interrupted = True
    if process.at_work:
        raise KeyboardInterrupt


def _this() -> _Process:
    assert _process is not None  # `_begin` is the initialiser of every process
    return _process


def _carry_out(job: Callable[[], T]) -> T:
    """Do a job, unless the pool has been stopped since it was sent, and keep some of the memory that it frees."""
    process = _this()
    process.at_work = True
    try:
        if process.interrupted or process.stopped.is_set():
            raise KeyboardInterrupt
        return job()
    finally:
        process.at_work = False
        held = resident_memory_bytes()
        if process.held_bytes is None:
            process.held_bytes = held
        elif held > process.held_bytes + MAX_GROWTH_BYTES:
            return_free_memory()
