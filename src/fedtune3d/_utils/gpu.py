"""The same bits each time on a GPU, and float32 that is float32."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fedtune3d._utils.errors import InputError, MachineError

_MISSING = "does not have a deterministic implementation"


def compute_exactly() -> None:
    """Have PyTorch choose deterministic GPU kernels in this process, and no TensorFloat-32 for float32.

    By default gradients of convolutions, poolings and attention are sums in the order in which threads arrive, and
    convolutions round their float32 inputs to 10 bits. An operation without a deterministic kernel raises; see
    `gpu_errors_in_one_line`. Must be called before the first matrix product, since cuBLAS reads its setting then.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Filling new tensors costs a pass over each and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


@contextmanager
def gpu_errors_in_one_line() -> Iterator[None]:
    """Raise `InputError` where PyTorch refuses an inexact operation, and `MachineError` where GPU memory runs out."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MachineError(
            "device: the GPU's memory ran out; free some and run again with --resume, or write a smaller "
            "training.batch_size and another output (`fedtune3d plan` shows what is needed)"
        ) from error
    except RuntimeError as error:
        if _MISSING not in str(error):
            raise
        operation = str(error).split()[0]
        raise InputError(
            f"device: on a GPU {operation} would give other results each time; write device: cpu, or replace it in "
            "your encoder or head"
        ) from error
