"""Operations without a deterministic kernel are named in one line; see `tests/training/test_on_gpu.py` for the rest."""

import pytest
import torch

from fedtune3d._utils.errors import InputError, MachineError
from fedtune3d._utils.gpu import gpu_errors_in_one_line


def test_an_operation_without_a_deterministic_kernel_is_named() -> None:
    operation = "grid_sampler_3d_backward_cuda"
    with pytest.raises(InputError, match=r"on a GPU grid_sampler_3d_backward_cuda would .* write device: cpu"):
        _fail(RuntimeError(f"{operation} does not have a deterministic implementation, but you set …"))


def test_memory_that_runs_out_is_the_machines_fault() -> None:
    with pytest.raises(MachineError, match=r"the GPU's memory ran out; .* training\.batch_size"):
        _fail(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"))


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="illegal memory access"):
        _fail(RuntimeError("CUDA error: an illegal memory access was encountered"))


@gpu_errors_in_one_line()
def _fail(error: RuntimeError) -> None:
    raise error
