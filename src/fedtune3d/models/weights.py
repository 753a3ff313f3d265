"""Encoder weights from files: checkpoints as the encoders' authors released them, or plain safetensors."""

import argparse
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import sha256_file, storage_errors
from fedtune3d._utils.state_dicts import State, load_safetensors, state_sha256
from fedtune3d.models.encoders.contract import Encoder, initialise_random

_STATE_KEYS = ("model_state_dict", "state_dict", "network_weights", "model")

# What SAM-Med3D's training script saves next to the tensors: its arguments, and losses as NumPy scalars.
_numpy_scalar = np.float64(0).__reduce__()[0]
_HARMLESS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    np.dtypes.Float64DType,
    (_numpy_scalar, "numpy._core.multiarray.scalar"),
    (_numpy_scalar, "numpy.core.multiarray.scalar"),  # as NumPy 1 wrote it
]


@dataclass(frozen=True)
class WeightsInfo:
    """Origin of an encoder's weights.

    Attributes:
        source: ``"random"``, the file's name, or the package with its version and the file in it.
        sha256: Of the file's bytes; of the state (`state_dicts.state_sha256`) where the weights are random.
    """

    source: str
    sha256: str


def randomise_encoder_weights(encoder: Encoder, seed: int) -> WeightsInfo:
    """Draw the encoder's weights from the seed, in place."""
    initialise_random(encoder, seed)
    return WeightsInfo("random", state_sha256(encoder.state_dict()))


def load_encoder_weights(encoder: Encoder, path: Path) -> WeightsInfo:
    """Load a checkpoint into the encoder, in place; if the file does not fit, the encoder is left unchanged.

    Args:
        encoder: Every parameter of it must be in the file, in its shape, and the file may hold no other encoder's.
        path: Safetensors with the encoder's keys, with or without the prefix of its release (``image_encoder.`` of
            SAM-Med3D's); or else a file of `torch.save`: a state dict with the encoder's keys, or with the prefix among
            those of the whole model, alone or under a key such as ``model_state_dict`` as in the released file. Nothing
            but tensors and plain values is unpickled.

    Raises:
        InputError: Naming the file and the first mismatches.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of a checkpoint, or leave the weights random")
    prefix = encoder.released_prefix
    stored = load_safetensors(path) if _is_safetensors(path) else _load_released(path, prefix)
    with_prefix = {name.removeprefix(prefix): tensor for name, tensor in stored.items() if name.startswith(prefix)}
    load_fitting(encoder, path, encoder.from_released(with_prefix or stored))
    return WeightsInfo(path.name, sha256_file(path))


def load_fitting(encoder: Encoder, path: Path, state: State) -> None:
    """Load a state into the encoder, in place. Raises `InputError` naming the file where anything does not fit."""
    _require_fit(path, encoder.state_dict(), state)
    encoder.load_state_dict(state)


def _is_safetensors(path: Path) -> bool:
    """Return whether the name, or the first bytes (length and start of a JSON header), are those of safetensors."""
    with storage_errors(path), path.open("rb") as file:
        head = file.read(10)
    return path.suffix == ".safetensors" or (head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 1 << 27)


def _load_released(path: Path, prefix: str) -> State:
    if known := _other_content(path):
        raise InputError(f"{path}: expected a PyTorch checkpoint, but the file is {known}")
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            checkpoint: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever is wrong with the file, it is the file
        raise InputError(f"{path}: expected a PyTorch checkpoint of tensors and plain values; {_why(error)}") from error
    state = _state_in(checkpoint)
    if state is None:
        raise InputError(
            f"{path}: expected a state dict, or a dict with one under {' or '.join(map(repr, _STATE_KEYS))}; got "
            f"{_kind(checkpoint)}; give the file that the encoder's authors released"
        )
    encoder_state = {name: tensor for name, tensor in state.items() if name.startswith(prefix)}
    if not encoder_state and state is not checkpoint:
        raise InputError(f"{path}: expected keys '{prefix}*' in the state dict; got {_first(list(state))}")
    return encoder_state or state


def _state_in(checkpoint: object) -> State | None:
    """Find the state dict in a checkpoint: a dict from names to tensors, itself or under one of the usual keys."""
    if not isinstance(checkpoint, dict):
        return None
    candidates = [checkpoint[key] for key in _STATE_KEYS if key in checkpoint] or [checkpoint]
    state = candidates[0]
    named = isinstance(state, dict) and state and all(isinstance(name, str) for name in state)
    return state if named and any(isinstance(tensor, torch.Tensor) for tensor in state.values()) else None


def _other_content(path: Path) -> str | None:
    """Name what a file is that is no checkpoint, and what to do, where its first bytes tell."""
    with storage_errors(path), path.open("rb") as file:
        head = file.read(512).lstrip()
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer; fetch the real file with `git lfs pull`"
    if head[:1] == b"<":
        return "a web page (HTML); download the file itself, not the page that shows it"
    if head.startswith(b"\x1f\x8b"):
        return "a gzip archive; unpack it first"
    return None if head else "empty; download it again"


def _why(error: Exception) -> str:
    """Say in one line why a file was not read; never how to read it without the check."""
    if refused := re.search(r"(?:GLOBAL|global) ([\w.]+)", str(error)):
        return (
            f"it holds a Python object, {refused[1]}, which could run code when it is read; "
            "save the state dict alone: torch.save(model.state_dict(), path)"
        )
    if isinstance(error, pickle.UnpicklingError):
        return "it is damaged, or holds more than tensors and plain values; download it again"
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    return f"it is damaged or no checkpoint ({reason}); download it again"


def _require_fit(path: Path, expected: State, state: State) -> None:
    problems = [f"no {name} {tuple(tensor.shape)}" for name, tensor in expected.items() if name not in state]
    for name, tensor in state.items():
        if name not in expected:
            problems.append(f"unknown {name}")
        elif not isinstance(tensor, torch.Tensor) or tensor.is_meta or tensor.layout is not torch.strided:
            problems.append(f"{name} is not a dense tensor")
        elif not tensor.is_floating_point():
            problems.append(f"{name} is not a tensor of floats")
        elif tensor.shape != expected[name].shape:
            problems.append(f"{name} is {tuple(tensor.shape)}, expected {tuple(expected[name].shape)}")
        elif not tensor.isfinite().all():
            problems.append(f"{name} holds NaN or infinite values")
    if problems:
        raise InputError(f"{path}: not the weights of this encoder: {_first(problems, '; ')}")


def _kind(value: Any) -> str:
    return f"a dict with {_first([repr(key) for key in value])}" if isinstance(value, dict) else type(value).__name__


def _first(items: list[str], separator: str = ", ") -> str:
    return separator.join(items[:3]) + (f"{separator}and {len(items) - 3} more" if len(items) > 3 else "") or "nothing"
