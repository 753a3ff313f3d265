"""Encoder weights from files: the format of the released SAM-Med3D checkpoints, or plain safetensors."""

import argparse
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import sha256_file
from fedtune3d._utils.state_dicts import State, load_safetensors, state_sha256
from fedtune3d.models.encoders.sam_med3d import ImageEncoder3D, initialise_random

PREFIX = "image_encoder."

# What SAM-Med3D's training script saves beside the tensors: its arguments, and losses as NumPy scalars.
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
    """Where an encoder's weights came from.

    Attributes:
        source: ``"random"``, or the file's name.
        sha256: Of the file's bytes; of the state (`states.state_sha256`) where the weights are random.
    """

    source: str
    sha256: str


def randomise_encoder_weights(encoder: ImageEncoder3D, seed: int) -> WeightsInfo:
    """Draw the encoder's weights from the seed, in place, and say so."""
    initialise_random(encoder, seed)
    return WeightsInfo("random", state_sha256(encoder.state_dict()))


def load_encoder_weights(encoder: ImageEncoder3D, path: Path) -> WeightsInfo:
    """Load a checkpoint into the encoder, in place; the encoder is left as it was where the file does not fit.

    Args:
        encoder: Every parameter of it must be in the file, in its shape, and the file may hold no other encoder's.
        path: `.safetensors` with the encoder's keys, with or without the prefix ``image_encoder.``; or, by any other
            suffix, a file of `torch.save` in the released format: a dict whose ``model_state_dict`` has the keys
            ``image_encoder.*`` among those of the whole model. Nothing but tensors and plain values is unpickled.

    Raises:
        InputError: Naming the file and the first mismatches.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of a SAM-Med3D checkpoint, or leave the weights random")
    stored = load_safetensors(path) if path.suffix == ".safetensors" else _load_released(path)
    with_prefix = {name.removeprefix(PREFIX): tensor for name, tensor in stored.items() if name.startswith(PREFIX)}
    state = with_prefix or stored
    _require_fit(path, encoder.state_dict(), state)
    encoder.load_state_dict(state)
    return WeightsInfo(path.name, sha256_file(path))


def _load_released(path: Path) -> State:
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            checkpoint: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: expected a PyTorch checkpoint of tensors and plain values; {reason}") from error
    state = checkpoint.get("model_state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict):
        raise InputError(
            f"{path}: expected a dict with the key 'model_state_dict', as SAM-Med3D's checkpoints are; got "
            f"{_kind(checkpoint)}; save plain encoder weights as .safetensors"
        )
    encoder_state = {name: tensor for name, tensor in state.items() if str(name).startswith(PREFIX)}
    if not encoder_state:
        raise InputError(f"{path}: expected keys '{PREFIX}*' in 'model_state_dict'; got {_first(list(state))}")
    return encoder_state


def _require_fit(path: Path, expected: State, state: State) -> None:
    problems = [f"no {name} {tuple(tensor.shape)}" for name, tensor in expected.items() if name not in state]
    for name, tensor in state.items():
        if name not in expected:
            problems.append(f"unknown {name}")
        elif not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
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
