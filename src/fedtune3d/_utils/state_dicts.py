"""State dicts (name → tensor) on disk and in memory. The file format is safetensors."""

import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from fedtune3d._utils.errors import DamagedFileError, InputError
from fedtune3d._utils.files import atomic_path, is_verified, mark_verified, storage_errors
from fedtune3d._utils.json_values import Json, JsonLike

State = dict[str, torch.Tensor]
METADATA = "fedtune3d"


def save_state(path: Path, state: State, info: Mapping[str, JsonLike] | None = None, *, durable: bool = True) -> None:
    """Write a state as safetensors with its checksum, atomically; equal states and infos give identical bytes.

    `info` (JSON values) and the checksum share one metadata key, because the format does not fix the order of several
    keys. For `durable` see `atomic_path`.

    Raises:
        StorageError: If the file cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(state.items())}
    values = dict(info or {})
    metadata = json.dumps({"info": values, "sha256": _checksum(tensors, values)}, sort_keys=True, allow_nan=False)
    _write(path, tensors, {METADATA: metadata}, durable=durable)


def load_state(path: Path) -> State:
    """Read a state written by `save_state` onto the CPU; it is verified when this process first opens the file.

    Raises:
        InputError: If there is no such file.
        DamagedFileError: If it is not what was written.
    """
    return _load(path)[0]


def load_info(path: Path) -> dict[str, Json]:
    """Read the info stored by `save_state`. Verifies the file and raises as `load_state`."""
    if not path.exists() or not is_verified(path):
        return _load(path)[1]
    return peek_info(path)


def peek_info(path: Path) -> dict[str, Json]:
    """Read the info without the tensors and without verifying, for listings. Raises as `load_state`."""
    with _opened(path) as file:
        info, _ = _metadata(path, file.metadata())
    return info


def save_safetensors(path: Path, state: State) -> None:
    """Write a state as safetensors without a checksum, atomically, for a reader that learns its checksum elsewhere.

    Raises:
        StorageError: If the file cannot be written.
    """
    _write(path, {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, None, durable=False)


def load_safetensors(path: Path) -> State:
    """Read a safetensors file without a checksum onto the CPU.

    Raises:
        InputError: If there is no such file, or it is not safetensors.
    """
    try:
        with storage_errors(path), safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (FileNotFoundError, SafetensorError) as error:
        raise InputError(f"{path}: expected a safetensors file; {error}") from error


def state_bytes(state: State) -> int:
    """Return the size in bytes of the tensors of a state."""
    return sum(tensor.numel() * tensor.element_size() for tensor in state.values())


def tensor_view(tensor: torch.Tensor) -> memoryview:
    """Return a view of a tensor's bytes in memory, row-major; little-endian on every platform of torch."""
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data


def tensor_bytes(tensor: torch.Tensor) -> bytes:
    """Return a copy of `tensor_view`."""
    return tensor_view(tensor).tobytes()


def state_sha256(state: State) -> str:
    """Return the SHA-256 over names, dtypes, shapes and bytes, independent of the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor_view(tensor))
    return digest.hexdigest()


def state_crc32(state: State) -> int:
    """Return the CRC-32 over what `state_sha256` covers, in a third of its time.

    It finds a flipped bit or a file that is not whole, like a network's checksum, and is no defence against anybody.
    """
    checksum = 0
    for name, tensor in sorted(state.items()):
        checksum = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode(), checksum)
        checksum = zlib.crc32(tensor_view(tensor), checksum)
    return checksum


def _write(path: Path, tensors: State, metadata: dict[str, str] | None, *, durable: bool) -> None:
    with atomic_path(path, durable=durable) as partial:
        try:
            save_file(tensors, partial, metadata=metadata)
        except SafetensorError as error:  # can only be caused by the disk here
            raise OSError(_errno_of(error), str(error), str(path)) from error


def _checksum(state: State, info: Mapping[str, JsonLike]) -> str:
    text = json.dumps(info, sort_keys=True, allow_nan=False)
    return hashlib.sha256(f"{state_sha256(state)}\n{text}".encode()).hexdigest()


def _load(path: Path) -> tuple[State, dict[str, Json]]:
    with _opened(path) as file:
        try:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except (SafetensorError, ValueError, RuntimeError) as error:
            raise DamagedFileError(path, f"cannot be read ({error})") from error
        info, checksum = _metadata(path, file.metadata())
    if not is_verified(path):
        if _checksum(state, info) != checksum:
            raise DamagedFileError(path, "does not match its checksum")
        mark_verified(path)
    return state, info


def _opened(path: Path) -> Any:
    if not path.exists():
        raise InputError(f"{path}: no such file; run again with --resume, or copy the folder again")
    try:
        with storage_errors(path):
            return safe_open(path, framework="pt")
    except SafetensorError as error:
        raise DamagedFileError(path, f"is not a safetensors file ({error})") from error


def _metadata(path: Path, metadata: Mapping[str, str] | None) -> tuple[dict[str, Json], str]:
    try:
        values = json.loads((metadata or {})[METADATA])
        return dict(values["info"]), str(values["sha256"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DamagedFileError(path, "has lost its checksum") from error


def _errno_of(error: SafetensorError) -> int:
    """Parse the errno in a message such as ``I/O error: No space left on device (os error 28)``."""
    _, mark, number = str(error).rpartition("(os error ")
    digits = number.partition(")")[0]
    return int(digits) if mark and digits.isdigit() else 0
