"""The memory that this process has needed."""

import ctypes
import resource
from pathlib import Path

_RESET_PEAK = "5"
"""Written to `/proc/self/clear_refs`, sets the peak to the present (Linux 4.0 or later, proc(5))."""


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


def return_free_memory() -> None:
    """Return freed memory to the system, if the C library can (glibc); until then it counts as resident."""
    try:
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    except (OSError, TypeError):
        return
    if trim is not None:
        trim(0)


def _of_status(key: str) -> int | None:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split(f"{key}:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return None
