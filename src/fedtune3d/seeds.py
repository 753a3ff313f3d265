"""Random numbers that depend on their causes only: (seed, site, round, …)."""

import hashlib

import numpy as np
import torch


def derive_seed(*causes: str | int) -> int:
    """A 63-bit seed from its causes, the same on every machine and in every process.

    >>> derive_seed(1, "site-A", 3) == derive_seed(1, "site-A", 3) != derive_seed(1, "site-B", 3)
    True
    """
    text = "\x1f".join(f"{type(cause).__name__}:{cause}" for cause in causes)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_rng(*causes: str | int) -> np.random.Generator:
    """A NumPy generator seeded by its causes."""
    return np.random.default_rng(derive_seed(*causes))


def torch_rng(*causes: str | int) -> torch.Generator:
    """A CPU torch generator seeded by its causes."""
    return torch.Generator().manual_seed(derive_seed(*causes))
