"""The peak memory of training: of the GPU, or of the host above what the process held before its model."""

import torch

from fedtune3d._utils.memory import (
    peak_memory_bytes,
    reset_peak_memory,
    resident_memory_bytes,
    return_free_memory,
)

TOLERANCE_BYTES = 20_000_000
"""The system's counts of pages differ by some."""


class PeakMemory:
    """Measures the peak memory of one piece of work after another.

    Create it before the model: what the process holds by then (Python, libraries, earlier runs) is not counted on a
    CPU. On a GPU everything is counted that PyTorch holds there, the model included.

    On a CPU, memory that a piece of work has freed is left to the next one, which need not map it again. So after
    pieces that need more, a piece counts as the largest of them, until something else in between needs more than all.
    """

    def __init__(self) -> None:
        return_free_memory()
        self._baseline = resident_memory_bytes()
        self._before = self._highest = 0
        self._reset = False
        self._device = torch.device("cpu")

    def begin(self, device: torch.device) -> None:
        """Begin a piece of work on a device: peaks before it do not count."""
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            if resident_memory_bytes() > self._highest + TOLERANCE_BYTES:  # other work than that measured has left it
                return_free_memory()
            self._reset = reset_peak_memory()
            self._before = peak_memory_bytes()

    def peak_bytes(self) -> int:
        """Return the peak since `begin`, in bytes.

        Where the system cannot reset the peak of a process, a peak that stays below an earlier one is not seen: the
        memory at the end then stands for it.
        """
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        peak = peak_memory_bytes()
        if not self._reset and peak == self._before:
            peak = resident_memory_bytes()
        self._highest = max(self._highest, peak)
        return max(0, peak - self._baseline)
