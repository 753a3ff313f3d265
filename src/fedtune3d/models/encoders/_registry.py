"""Encoders by name: modules in this folder without a leading underscore, except `contract`, and installed files."""

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.names import unknown_name
from fedtune3d.models import encoders
from fedtune3d.models.encoders._own import OwnEncoder, read_own_encoder
from fedtune3d.models.encoders.contract import Encoder, EncoderSpec

_CONTRACT = "contract"
_INSTALLED: dict[str, OwnEncoder] = {}
"""The user's own encoders that were installed in this process."""


def encoder_names() -> tuple[str, ...]:
    """Return the names of all encoders, sorted; also of those that were installed from a file."""
    return tuple(sorted({*_packaged_names(), *_INSTALLED}))


def install_encoder(path: str | Path, sha256: str = "") -> OwnEncoder:
    """Load an encoder from a file of the user's own, for this process; the last file of a name counts.

    The file is code: it runs here with the rights of this program.

    Args:
        path: The file, ``<name>.py``, with `SPEC` and `build` as in docs/encoders.md.
        sha256: SHA-256 that the file must have; empty for any.

    Raises:
        InputError: If the file cannot be read, is another one, has the name of an encoder of this package, raises while
            it is loaded, or is no encoder.
    """
    path = Path(path).absolute()
    if path.stem in _packaged_names():
        raise InputError(f"{path}: {path.stem} is an encoder of fedtune3d; give the file another name")
    if (own := _INSTALLED.get(path.stem)) is not None and own.path == path and own.sha256 == sha256:
        return own
    _INSTALLED[path.stem] = own = read_own_encoder(path, sha256)
    return own


def installed_encoders() -> tuple[OwnEncoder, ...]:
    """Return the user's own encoders that were installed in this process."""
    return tuple(_INSTALLED.values())


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
    if name in _INSTALLED:
        encoder.spec = encoder_spec(name)  # which has the file's SHA-256
    return encoder


def _packaged_names() -> list[str]:
    modules = [module.name for module in pkgutil.iter_modules(encoders.__path__) if not module.ispkg]
    return [name for name in modules if not name.startswith("_") and name != _CONTRACT]


def _module(name: str) -> ModuleType:
    if name in _INSTALLED:
        return _INSTALLED[name].module
    names = encoder_names()
    if name not in names:
        raise InputError(f"{unknown_name('encoder', name, names)}; docs/encoders.md says how to add one")
    return importlib.import_module(f"{encoders.__name__}.{name}")
