"""The worker processes of a run."""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from types import ModuleType, TracebackType
from typing import Self, TypeVar

from fedtune3d._utils.signals import held_back
from fedtune3d.federation.workers.process import Held, Lifeline, begin, begun, call
from fedtune3d.federation.workers.spool import Spool

T = TypeVar("T")


class WorkerPool:
    """Processes that are started when first needed, and end with the block or with this process.

    Each is an executor of one process (`concurrent.futures`), so that the same one always answers for a site.

    Args:
        count: Number of workers.
        make: Called with a worker's number when it is started; returns what makes the sites there, and is pickled.
        spool: Where messages are written; emptied at the beginning and removed at the end.
    """

    def __init__(self, count: int, make: Callable[[int], Callable[[], Held]], spool: Spool) -> None:
        self.count = count
        self.make = make
        self.spool = spool
        self._executors: dict[int, ProcessPoolExecutor] = {}
        self._lifelines: list[Lifeline] = []

    def __enter__(self) -> Self:
        self.spool.remove()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is not None:
            self._cut()  # interrupts the calls
        for executor in self._executors.values():
            executor.shutdown(cancel_futures=True)
        self._cut()
        self.spool.remove()

    def submit(self, worker: int, job: Callable[[], T]) -> "Future[T]":
        """Have a worker do a job after what it was asked before. Raises `BrokenProcessPool` if it was killed."""
        if worker not in self._executors:
            self._executors[worker] = self._start(worker)
        return self._executors[worker].submit(call, job)

    def _start(self, worker: int) -> ProcessPoolExecutor:
        make = self.make(worker)
        context = multiprocessing.get_context("spawn")
        held_by_worker, held_here = context.Pipe(duplex=False)
        self._lifelines.append(held_here)
        executor = ProcessPoolExecutor(1, context, begin, (held_by_worker, make, self.spool))
        with _hidden_main(), held_back({signal.SIGINT}):  # a traceback of each would be printed
            executor.submit(begun)
        return executor

    def _cut(self) -> None:
        for lifeline in self._lifelines:
            lifeline.close()


@contextmanager
def _hidden_main() -> Iterator[None]:
    """Hide the caller's script from multiprocessing, which would run it again in each new process."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
