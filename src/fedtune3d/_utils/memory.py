"""The memory that this process has needed."""

import ctypes
import os
import resource
import time
from pathlib import Path

_RESET_PEAK = "5"
"""Written to `/proc/self/clear_refs`, sets the peak to the present (Linux 4.0 or later, proc(5))."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3): how much free memory is kept, and from which size on a block is mapped by itself."""
_KEPT_BYTES, _LARGEST_KEPT_BYTES = 2**31 - 1, 2**30
_CHOSEN_BY_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def peak_memory_bytes() -> int:
    """Return the peak resident memory of this process so far; on Linux, without that of its parent before the fork.

    After `reset_peak_memory`, the peak since then.
    """
    peak = _of_status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 if peak is None else peak


def resident_memory_bytes() -> int:
    """Return the resident memory of this process now; its peak where the system does not tell."""
    resident = _of_status("VmRSS")
    return peak_memory_bytes() if resident is None else resident


def reset_peak_memory() -> bool:
    """Reset the peak to the current resident memory. Returns False if the system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def keep_freed_memory() -> None:
    """Make glibc reuse freed memory in this process instead of returning it to the system.

    By default, glibc requests new pages for every large array, and the kernel clears them: a tenth of the CPU time of
    preparation and of training on cached features. Blocks of more than 1 GiB are still returned at once. Has no effect
    with other C libraries, or if the user has set `MALLOC_TRIM_THRESHOLD_`, `MALLOC_MMAP_THRESHOLD_` or
    `GLIBC_TUNABLES`.
    """
    if any(variable in os.environ for variable in _CHOSEN_BY_USER):
        return
    if library := _c_library_with("mallopt"):
        library.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)


def return_free_memory() -> None:
    """Return freed memory to the system, if the C library can (glibc); until then it counts as resident."""
    if library := _c_library_with("malloc_trim"):
        library.malloc_trim(0)


class KeptMemory:
    """Freed memory that a process keeps for its next piece of work, and returns once none has come for some time.

    Args:
        seconds: How long.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None

    def note_work(self) -> None:
        """Note that a piece of work has ended."""
        self._until = time.monotonic() + self._seconds

    def return_if_idle(self) -> None:
        """Return the memory, once, if the last piece of work is long enough ago."""
        if self._until is not None and time.monotonic() >= self._until:
            self._until = None
            return_free_memory()


def _c_library_with(function: str) -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return library if hasattr(library, function) else None


def _of_status(key: str) -> int | None:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split(f"{key}:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return None
