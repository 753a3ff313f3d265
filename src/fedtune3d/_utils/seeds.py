"""Random numbers determined by their causes only: (seed, site, round, …)."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(*causes: str | int) -> int:
    """Derive a 63-bit seed from causes, the same on every machine and in every process.

    >>> derive_seed(1, "site-A", 3) == derive_seed(1, "site-A", 3) != derive_seed(1, "site-B", 3)
    True
    """
    text = "\x1f".join(f"{type(cause).__name__}:{cause}" for cause in causes)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_rng(*causes: str | int) -> np.random.Generator:
    """Create a NumPy generator seeded by its causes."""
    return np.random.default_rng(derive_seed(*causes))


def torch_rng(*causes: str | int) -> torch.Generator:
    """Create a torch generator on the CPU, seeded by its causes."""
    return torch.Generator().manual_seed(derive_seed(*causes))


@contextmanager
def global_draws_from(*causes: str | int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's global generators from `causes` during the block, and restore them afterwards.

    For code that takes no generator, such as dropout and TorchIO. `device` adds an accelerator's generator.
    """
    accelerators = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=accelerators):
        seed = derive_seed(*causes)
        torch.default_generator.manual_seed(seed)
        if accelerators:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
