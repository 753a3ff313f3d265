"""Initial weights that depend on their causes only, whatever was drawn before."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fedtune3d.seeds import derive_seed


@contextmanager
def drawn_from(*causes: str | int) -> Iterator[None]:
    """Inside the block, modules built on the CPU draw from `causes`; the global generator is as before afterwards."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the GPUs, which are not forked here
        torch.default_generator.manual_seed(derive_seed(*causes))
        yield
