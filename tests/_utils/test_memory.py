import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest

from fedtune3d._utils.memory import peak_memory_bytes, reset_peak_memory, resident_memory_bytes


@pytest.mark.ci
def test_the_peak_stays_after_the_memory_is_freed() -> None:
    before = peak_memory_bytes()
    ballast = np.ones(before // 8 + 10_000_000)
    peak, size = peak_memory_bytes(), ballast.nbytes
    del ballast
    assert peak > size
    assert peak_memory_bytes() > 0.9 * peak  # the kernel counts in steps


def test_the_peak_of_a_process_is_its_own() -> None:
    """Not that of the process that started it, which Linux's getrusage counts in."""
    ballast = np.ones(25_000_000)
    code = "from fedtune3d._utils.memory import peak_memory_bytes; print(peak_memory_bytes())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert 4_000_000 < int(said) < ballast.nbytes / 2


def test_the_peak_can_begin_anew() -> None:
    ballast = np.ones(25_000_000)
    size = ballast.nbytes
    held = resident_memory_bytes()
    del ballast
    if not reset_peak_memory():
        pytest.skip("this system cannot reset the peak")
    assert resident_memory_bytes() < held - 0.9 * size
    assert peak_memory_bytes() < held - 0.9 * size
    again = np.ones(25_000_000)
    assert peak_memory_bytes() > held - 0.1 * size
    assert again.nbytes == size


FAULTS = """
import resource
import numpy as np
from fedtune3d._utils.memory import keep_freed_memory, resident_memory_bytes, return_free_memory
keep_freed_memory()
np.ones(25_000_000)
held = resident_memory_bytes()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(25_000_000)
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
return_free_memory()
print(faults, (held - resident_memory_bytes()) // 1_000_000)
"""


@pytest.mark.ci
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_freed_memory_is_used_again_without_being_mapped_again_until_it_is_returned() -> None:
    def run(**environment: str) -> tuple[int, int]:
        words = [sys.executable, "-c", FAULTS]
        said = subprocess.run(words, capture_output=True, check=True, text=True, env=os.environ | environment).stdout
        faults, returned = map(int, said.split())
        return faults, returned

    faults, returned = run()
    assert returned > 190
    by_default, _ = run(MALLOC_TRIM_THRESHOLD_="100000")  # what the user has chosen stays
    assert faults < by_default / 10


IDLE = """
import numpy as np
from fedtune3d._utils.memory import KeptMemory, keep_freed_memory, resident_memory_bytes
keep_freed_memory()
def held_after(seconds):
    kept = KeptMemory(seconds)
    kept.return_if_idle()
    np.ones(25_000_000)
    kept.note_work()
    kept.return_if_idle()
    return resident_memory_bytes()
print((held_after(3600) - held_after(0)) // 1_000_000)
"""


@pytest.mark.ci
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_a_process_without_work_returns_its_free_memory() -> None:
    said = subprocess.run([sys.executable, "-c", IDLE], capture_output=True, check=True, text=True).stdout
    assert int(said) > 190
