"""Brain extraction with deepbet, a small network whose weights are part of its package."""

from functools import lru_cache
from typing import Literal, Protocol

import torch

from fedtune3d._utils.errors import InputError
from fedtune3d.preparation.arrays import Mask, Volume

Device = Literal["cpu", "cuda"]


class _Network(Protocol):
    """The methods used of deepbet's `BrainExtraction`."""

    def run_model(self, voxels: Volume) -> Volume: ...

    def postprocess(self, mask: Mask) -> Mask: ...


def extract_brain(voxels: Volume, device: Device = "cpu") -> Mask:
    """Extract the brain from a T1-weighted head, including cerebrospinal fluid in sulci and ventricles.

    Uses one thread, whatever torch's setting, so that the number of workers does not change any voxel.

    Args:
        voxels: (x, y, z) float32, RAS order.
        device: The network's device; masks from a GPU and a CPU may differ in a few voxels.

    Returns:
        bool, the shape of `voxels`, one connected component without holes.

    Raises:
        InputError: If deepbet is not installed, or `device` is not available.
        ValueError: If no brain is found.

    References:
        Fisch et al., 2024, "deepbet: Fast brain extraction of T1-weighted MRI using Convolutional Neural Networks",
        Computers in Biology and Medicine 179:108845.
    """
    network = _load(device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        share = network.run_model(voxels.copy())
        mask: Mask = network.postprocess(share > 0.5)
    except (AssertionError, ValueError, RuntimeError) as error:  # raised by deepbet if there is no brain
        raise ValueError("deepbet found no brain in it") from error
    finally:
        torch.set_num_threads(threads)
    return mask.astype(bool)


@lru_cache(maxsize=1)
def _load(device: Device) -> _Network:
    try:
        from deepbet import BrainExtraction
    except ImportError as error:
        raise InputError(
            f"a head with its skull needs brain extraction, and deepbet is missing ({error}); "
            "pip install 'fedtune3d[raw]'"
        ) from error
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("preparation.device: expected a CUDA device, found none; write cpu")
    network: _Network = BrainExtraction(no_gpu=device == "cpu")
    return network
