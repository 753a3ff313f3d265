"""Encoders by name: every module in this folder without a leading underscore, except `contract`, is an encoder."""

import importlib
import pkgutil
from types import ModuleType

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.names import unknown_name
from fedtune3d.models import encoders
from fedtune3d.models.encoders.contract import Encoder, EncoderSpec

_CONTRACT = "contract"


def encoder_names() -> tuple[str, ...]:
    """Return the names of all encoders, sorted."""
    modules = [module.name for module in pkgutil.iter_modules(encoders.__path__) if not module.ispkg]
    return tuple(sorted(name for name in modules if not name.startswith("_") and name != _CONTRACT))


def encoder_spec(name: str) -> EncoderSpec:
    """Return the specification of an encoder without building it.

    Raises:
        InputError: If there is no such encoder.
    """
    spec: EncoderSpec = _module(name).SPEC
    return spec


def build_encoder(name: str) -> Encoder:
    """Build an encoder on the CPU, with its weights not yet set.

    Raises:
        InputError: If there is no such encoder, or it needs a package that is not installed.
    """
    encoder: Encoder = _module(name).build()
    return encoder


def _module(name: str) -> ModuleType:
    names = encoder_names()
    if name not in names:
        raise InputError(f"{unknown_name('encoder', name, names)}; docs/encoders.md says how to add one")
    return importlib.import_module(f"{encoders.__name__}.{name}")
