"""A state: name → tensor, what trains. Its file format is safetensors."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import atomic_path

State = dict[str, torch.Tensor]


def save_state(path: Path, state: State, info: dict[str, Any] | None = None, *, durable: bool = True) -> None:
    """Write a state as safetensors, whole or not at all; equal states and infos give equal bytes.

    `info` (JSON values) goes under one metadata key, because the order of several is not fixed by the format. For
    `durable` see `atomic_path`.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(state.items())}
    metadata = {"fedtune3d": json.dumps(info or {}, sort_keys=True, allow_nan=False)}
    with atomic_path(path, durable=durable) as partial:
        save_file(tensors, partial, metadata=metadata)


def load_state(path: Path) -> State:
    """Read a state onto the CPU. Raises `InputError` naming the file when it is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: expected a safetensors file; {error}") from error


def load_info(path: Path) -> dict[str, Any]:
    """Read the info that `save_state` put beside the tensors, without reading them."""
    try:
        with safe_open(path, framework="pt") as file:
            return dict(json.loads((file.metadata() or {}).get("fedtune3d", "{}")))
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: expected a safetensors file; {error}") from error


def state_bytes(state: State) -> int:
    """The bytes that the tensors of a state take on the wire, without their names."""
    return sum(tensor.numel() * tensor.element_size() for tensor in state.values())


def tensor_view(tensor: torch.Tensor) -> memoryview:
    """The bytes of a tensor as they lie in memory, row by row, little-endian on every machine that torch runs on."""
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data


def tensor_bytes(tensor: torch.Tensor) -> bytes:
    """A copy of `tensor_view`."""
    return tensor_view(tensor).tobytes()


def state_sha256(state: State) -> str:
    """The SHA-256 over names, dtypes, shapes and bytes, whatever the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor_view(tensor))
    return digest.hexdigest()
