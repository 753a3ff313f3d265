"""Named tensors as one vector, which is what is masked and added up."""

import math
from collections.abc import Mapping

import torch

from fedtune3d._utils.state_dicts import State
from fedtune3d.federation.privacy.secure_aggregation.messages import digest
from fedtune3d.federation.serialisation import flat_state


def flatten(parts: Mapping[str, State]) -> torch.Tensor:
    """Return all values as one float64 vector, in the order of parts and names."""
    tensors = flat_state(parts).values()
    return torch.cat([tensor.flatten().double() for tensor in tensors]) if tensors else torch.zeros(0).double()


def unflatten(values: torch.Tensor, layout: Mapping[str, State]) -> dict[str, State]:
    """Return the inverse of `flatten` for tensors with the parts, names and shapes of `layout`.

    Raises:
        ValueError: If the number of values differs.
    """
    if len(values) != length_of(layout):
        raise ValueError(f"expected {length_of(layout)} values, got {len(values)}")
    parts: dict[str, State] = {}
    start = 0
    for part in sorted(layout):
        parts[part] = {}
        for name in sorted(layout[part]):
            shape = layout[part][name].shape
            stop = start + math.prod(shape)
            parts[part][name] = values[start:stop].reshape(shape)
            start = stop
    return parts


def length_of(layout: Mapping[str, State]) -> int:
    """Count the values of all parts."""
    return sum(tensor.numel() for state in layout.values() for tensor in state.values())


def layout_sha256(parts: Mapping[str, State]) -> str:
    """Return the SHA-256 of parts, names and shapes, in the order of the vector."""
    return digest("layout", [[name, list(tensor.shape)] for name, tensor in flat_state(parts).items()]).hex()
