"""Independent jobs in several processes of this machine."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import TypeVar

from joblib.externals.loky import ProcessPoolExecutor

from fedtune3d._utils.errors import MachineError
from fedtune3d._utils.memory import keep_freed_memory, resident_memory_bytes, return_free_memory

T = TypeVar("T")
MAX_GROWTH_BYTES = 200_000_000
"""Loky takes a process for leaking, and replaces it, if it holds 300 MB more than after its first job."""
_held_bytes: int | None = None
"""In a process of the pool: the memory that it held after its first job."""


def run_in_processes(
    jobs: Sequence[Callable[[], T]], processes: int, begin: Callable[[], None], doing: str
) -> Generator[T, None, None]:
    """Yield the result of each job, in order; the others are cancelled when one fails or the caller stops.

    Unlike multiprocessing's, these processes neither run the caller's script again, so it needs no __main__ guard, nor
    are they forks of this one, which could hang in libraries with threads.

    Args:
        jobs: Functions that can be pickled.
        processes: Number of processes.
        begin: Called once in each process, before its first job; must not fail.
        doing: What the processes do, for the message if one of them is killed, such as ``prepares scans``.

    Raises:
        MachineError: If a process is killed.
    """
    with ProcessPoolExecutor(processes, initializer=begin) as pool:
        futures = [pool.submit(partial(_carry_out, job)) for job in jobs]
        try:
            for future in futures:
                yield future.result()
        except BrokenProcessPool:
            raise MachineError(
                f"a process that {doing} was killed, perhaps because memory ran out; run again with fewer --workers, "
                "or with more memory"
            ) from None
        finally:
            for future in futures:
                future.cancel()


def _carry_out(job: Callable[[], T]) -> T:
    """Do a job in a process that keeps freed memory for the next one, but not so much that loky replaces it."""
    global _held_bytes
    keep_freed_memory()
    try:
        return job()
    finally:
        held = resident_memory_bytes()
        if _held_bytes is None:
            _held_bytes = held
        elif held > _held_bytes + MAX_GROWTH_BYTES:
            return_free_memory()
