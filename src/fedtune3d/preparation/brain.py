"""Brain extraction with deepbet, a small network whose weights are part of its package."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.gpu import compute_exactly
from fedtune3d.preparation.arrays import Box, Mask, Volume
from fedtune3d.preparation.brain_network import (
    COARSE_SIZE,
    MARGIN,
    SIZE,
    BrainNetwork,
    rescale,
    resize,
)

Device = Literal["cpu", "cuda"]
_RANGE = (0.005, 0.995)  # quantiles of the head's voxels that become 0 and 1


class _Extraction(Protocol):
    """The parts used of deepbet's `BrainExtraction`."""

    model: torch.nn.Module
    bbox_model: torch.nn.Module
    bbox: "Box | None"

    def get_bbox_with_margin(self, mask: torch.Tensor, shape: torch.Size, margin: float) -> Box: ...

    def postprocess(self, mask: Mask) -> Mask: ...


@dataclass(frozen=True)
class _Networks:
    extraction: _Extraction
    coarse: BrainNetwork
    fine: BrainNetwork


def extract_brain(voxels: Volume, device: Device = "cpu") -> Mask:
    """Extract the brain from a T1-weighted head, including cerebrospinal fluid in sulci and ventricles.

    The steps are those of deepbet's `BrainExtraction`: a network finds the brain in the whole head at 128³, a second
    one its surface in the box around it at 256³, and the largest component is kept and its holes filled. Masks were
    equal to deepbet's on all heads of the tests; rounding may change a voxel whose probability is 0.5 to six digits.

    Uses one thread, whatever torch's setting, so that the number of workers does not change any voxel.

    Args:
        voxels: (x, y, z) float32, RAS order, finite.
        device: The network's device; masks from a GPU and a CPU may differ in a few voxels.

    Returns:
        bool, the shape of `voxels`, one connected component without holes.

    Raises:
        InputError: If deepbet is not installed or is of another version, or `device` is not available.
        ValueError: If no brain is found.

    References:
        Fisch et al., 2024, "deepbet: Fast brain extraction of T1-weighted MRI using Convolutional Neural Networks",
        Computers in Biology and Medicine 179:108845.
    """
    networks = _load(device)
    head = torch.from_numpy(np.ascontiguousarray(voxels)).to(networks.fine.device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        mask = networks.extraction.postprocess(_find(head, networks))
    except (AssertionError, ValueError, RuntimeError) as error:  # raised by deepbet if there is no brain
        raise ValueError("deepbet found no brain in it") from error
    finally:
        torch.set_num_threads(threads)
    return mask.astype(bool)


def _find(head: torch.Tensor, networks: _Networks) -> Mask:
    """Return where the fine network sees brain, and tell the extraction the box, which its last step needs."""
    from deepbet.utils import keep_largest_connected_component

    small = resize(head, (COARSE_SIZE,) * 3)
    low, high = small.quantile(torch.tensor(_RANGE, device=head.device))
    largest = keep_largest_connected_component(networks.coarse(rescale(small, low, high)).cpu().numpy())
    box = networks.extraction.get_bbox_with_margin(torch.from_numpy(largest).float(), head.shape, MARGIN)
    networks.extraction.bbox = box
    found = networks.fine(rescale(resize(head[box], (SIZE,) * 3), low, high))
    brain = torch.zeros(head.shape, dtype=torch.bool)
    brain[box] = resize(found.to(torch.uint8), head[box].shape).bool().cpu()
    mask: Mask = brain.numpy()
    return mask


@lru_cache(maxsize=1)
def _load(device: Device) -> _Networks:
    try:
        from deepbet import BrainExtraction
    except ImportError as error:
        raise InputError(
            f"a head with its skull needs brain extraction, and deepbet is missing ({error}); "
            "pip install 'fedtune3d[raw]'"
        ) from error
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("preparation.device: expected a CUDA device, found none; write cpu")
    if device == "cuda":
        compute_exactly()
    extraction: _Extraction = BrainExtraction(no_gpu=device == "cpu")
    try:
        return _Networks(extraction, BrainNetwork(extraction.bbox_model), BrainNetwork(extraction.model))
    except KeyError as error:
        raise InputError(
            f"deepbet: expected the networks of version 1.0.2, found others ({error}); pip install 'deepbet==1.0.2'"
        ) from error
