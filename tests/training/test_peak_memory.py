"""Peak memory of one piece of work after another; the kernel counts in pages and batches."""

import ctypes
import os
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


MEASURING = """
import numpy as np
import torch
from fedtune3d._utils.memory import keep_freed_memory
from fedtune3d.training.peak_memory import PeakMemory
keep_freed_memory()
def work(megabytes):
    np.ones(megabytes * 125_000)
def measure(megabytes):
    memory.begin(torch.device("cpu"))
    work(megabytes)
    print(memory.peak_bytes() // 1_000_000)
work(400)  # an earlier trial in this process
memory = PeakMemory()
measure(150)
measure(50)
measure(250)
work(500)
measure(50)
"""


@pytest.mark.ci
@pytest.mark.parametrize("keeps", [True, False])
def test_only_work_that_is_measured_counts(keeps: bool) -> None:
    """Where the process keeps its memory, the largest piece so far; otherwise, each by itself."""
    if keeps and not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("the C library is not glibc")
    environment = os.environ | ({} if keeps else {"MALLOC_MMAP_THRESHOLD_": "100000"})
    words = [sys.executable, "-c", MEASURING]
    said = subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout
    expected = [150, 150 if keeps else 50, 250, 50]
    assert [int(line) for line in said.split()] == [pytest.approx(megabytes, abs=40) for megabytes in expected]


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
