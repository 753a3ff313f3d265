"""Peak memory of one piece of work after another; the kernel counts in pages and batches."""

import ctypes
import subprocess
import sys

import numpy as np
import pytest
import torch

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.memory import reset_peak_memory
from fedtune3d.federation.ledger import read_ledger
from fedtune3d.training.peak_memory import PeakMemory

MB = 1_000_000


def allocate(megabytes: int) -> int:
    """Touch so much memory, and free it."""
    return int(np.ones(megabytes * MB // 8).nbytes)


@pytest.fixture(autouse=True)
def _can_reset() -> None:
    if not reset_peak_memory():
        pytest.skip("this system cannot reset the peak")


def test_only_the_work_itself_counts() -> None:
    allocate(400)  # an earlier trial in this process
    memory = PeakMemory()
    memory.begin(torch.device("cpu"))
    allocate(150)
    assert 140 * MB < memory.peak_bytes() < 200 * MB
    memory.begin(torch.device("cpu"))
    allocate(50)
    assert 40 * MB < memory.peak_bytes() < 100 * MB


KEEPING = """
import ctypes
import numpy as np
import torch
from fedtune3d.training.peak_memory import PeakMemory
ctypes.CDLL(None).mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD: what is freed stays with the process
np.ones(50_000_000)
memory = PeakMemory()
memory.begin(torch.device("cpu"))
np.ones(20_000_000)
print(memory.peak_bytes() // 1_000_000)
"""


@pytest.mark.ci
def test_memory_that_the_process_has_kept_for_later_does_not_hide_the_peak() -> None:
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("the C library is not glibc")
    found = subprocess.run([sys.executable, "-c", KEEPING], capture_output=True, text=True, check=True)
    assert 150 < int(found.stdout) < 200


def test_the_model_counts_that_is_there_before_the_work() -> None:
    memory = PeakMemory()
    model = np.ones(100 * MB // 8)
    memory.begin(torch.device("cpu"))
    allocate(60)
    assert 150 * MB < memory.peak_bytes() < 220 * MB
    assert model.nbytes == 100 * MB


def test_what_the_process_held_before_the_model_does_not_count() -> None:
    held = np.ones(200 * MB // 8)
    memory = PeakMemory()
    memory.begin(torch.device("cpu"))
    assert memory.peak_bytes() < 40 * MB
    assert held.nbytes == 200 * MB


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_its_own_memory_counts() -> None:
    memory, device = PeakMemory(), torch.device("cuda")
    held = torch.cuda.memory_allocated(device)  # by other tests of this process
    model = torch.ones(25 * MB, device=device)
    torch.ones(100 * MB, device=device)
    memory.begin(device)
    torch.ones(50 * MB, device=device)
    assert memory.peak_bytes() - held == pytest.approx(300 * MB, rel=0.01)
    assert model.nbytes == 100 * MB


def test_a_run_records_the_memory_of_its_training(small_run: RunFolder) -> None:
    trained = [line for line in read_ledger(small_run.rounds.ledger) if line.trains]
    peaks = [entry.peak_memory_bytes for line in trained for entry in line.sites.values()]
    assert all(peak is not None and 0 <= peak < 2_000 * MB for peak in peaks)
    assert max(peak or 0 for peak in peaks) > 0
