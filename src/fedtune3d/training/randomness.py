"""Libraries that draw from torch's global generator, made to draw from causes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fedtune3d.seeds import derive_seed


@contextmanager
def global_draws_from(*causes: str | int, device: torch.device | None = None) -> Iterator[None]:
    """Within the block torch's global generators follow from `causes`; afterwards they are as before.

    For what takes no generator: dropout, TorchIO. `device` names the accelerator whose generator is meant as well.
    """
    accelerators = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=accelerators):
        seed = derive_seed(*causes)
        torch.default_generator.manual_seed(seed)
        if accelerators:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
