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
