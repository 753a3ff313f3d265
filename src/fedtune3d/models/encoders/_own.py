"""Encoders in files of the user's own: code, which runs with the rights of this program when it is loaded."""

import re
import sys
import traceback
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from fedtune3d._utils.errors import InputError, raise_if_machine
from fedtune3d._utils.foreign_text import one_line
from fedtune3d.models.encoders.contract import EncoderSpec

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MODULES = "fedtune3d_own_encoders"


@dataclass(frozen=True)
class OwnEncoder:
    """An encoder's file, as it was loaded.

    Attributes:
        name: Its name, that of the file.
        sha256: SHA-256 of the bytes that were loaded.
        path: The file.
        module: The module, whose `SPEC` has the SHA-256.
    """

    name: str
    sha256: str
    path: Path
    module: ModuleType


def read_own_encoder(path: Path, expected: str = "") -> OwnEncoder:
    """Load an encoder's file, once it has the expected SHA-256.

    Args:
        path: The file, ``<name>.py``.
        expected: SHA-256 of the file; empty for any. Other bytes are not run.

    Raises:
        InputError: If the file cannot be read, is another one, raises while it is loaded, or is no encoder.
    """
    name = path.stem
    if path.suffix != ".py" or not _NAME.fullmatch(name):
        raise InputError(
            f"{path}: expected an encoder's file such as my_encoder.py, named in lower-case letters, digits and _"
        )
    try:
        source = path.read_bytes()
    except OSError as error:
        raise_if_machine(error, path)
        raise InputError(f"{path}: the encoder's file cannot be read ({error.strerror}); correct its path") from None
    found = sha256(source).hexdigest()
    if expected and found != expected:
        raise InputError(f"{path}: expected the encoder's file with SHA-256 {expected}, got {found}; get the same file")
    module = _run(path, source)
    spec = getattr(module, "SPEC", None)
    if not isinstance(spec, EncoderSpec) or not callable(getattr(module, "build", None)):
        raise InputError(f"{path}: an encoder's file needs `SPEC`, an EncoderSpec, and a function `build`")
    if spec.name != name:
        raise InputError(f"{path}: SPEC.name is {spec.name!r}, but the file is {path.name}; give both the same name")
    module.__dict__["SPEC"] = replace(spec, code_sha256=found)
    return OwnEncoder(name, found, path, module)


def _run(path: Path, source: bytes) -> ModuleType:
    """Run these bytes, rather than whatever the file holds by now, as a module."""
    module = ModuleType(f"{_MODULES}.{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # as dataclasses look their module up
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        reason = one_line(str(error)) or "without a message"
        raise InputError(
            f"{path}: {type(error).__name__} while the encoder's file was loaded{_line(path, error)}: {reason}; "
            "correct the file"
        ) from None
    return module


def _line(path: Path, error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""
