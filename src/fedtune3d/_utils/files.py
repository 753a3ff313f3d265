"""Files that are whole or absent: written under a temporary name, flushed to the disk, then renamed.

Checksums are added by what stands on top of this module: `sealed.py` for text and any other format, `ledgers.py` for
JSON lines, `state_dicts.py` for tensors.
"""

import errno
import hashlib
import json
import os
import shutil
import socket
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import psutil

from fedtune3d._utils.errors import InputError, StorageError

PARTIAL = ".partial."
_verified: dict[str, tuple[int, int, int]] = {}


@contextmanager
def atomic_path(target: Path, *, durable: bool = True, private: bool = False) -> Iterator[Path]:
    """Yield a temporary path next to `target`, renamed to it if the block succeeds and removed if it fails.

    The temporary name keeps the target's suffixes, for writers that choose a format by them. Without `durable`, the
    file is not flushed to disk; use it for files that can be recreated after a power loss. A `private` file is readable
    by this user only; other files have the umask's permissions.

    Raises:
        StorageError: If the file cannot be written.
    """
    partial = target.with_name(f".{_owner()}-{uuid.uuid4().hex[:12]}{PARTIAL}{target.name}")
    try:
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            permissions = _create(partial, 0o600 if private else 0o666)
            yield partial
            partial.chmod(permissions)  # some writers replace the file by one of their own
            if durable:
                _flush(partial)
            os.replace(partial, target)
            if durable:
                _flush(target.parent)
    finally:
        with suppress(OSError):  # already renamed, or another error is being raised
            partial.unlink()


def write_bytes(target: Path, content: bytes, *, durable: bool = True, private: bool = False) -> None:
    """Write bytes atomically. Raises `StorageError` as `atomic_path`."""
    with atomic_path(target, durable=durable, private=private) as partial, partial.open("wb") as file:
        file.write(content)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text atomically. Raises `StorageError` as `atomic_path`."""
    write_bytes(target, text.encode())


def write_json(target: Path, value: object) -> None:
    """Write indented JSON atomically. NaN and infinity, which are not JSON, raise `ValueError`."""
    write_text(target, json_text(value))


def json_text(value: object) -> str:
    """Return `value` as indented JSON with a final newline. NaN and infinity raise `ValueError`."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def read_bytes(path: Path) -> bytes:
    """Read a file. Raises `StorageError` if the disk fails, and `FileNotFoundError`."""
    with storage_errors(path), path.open("rb") as file:
        return file.read()


def is_verified(path: Path) -> bool:
    """Return whether this process has verified the file and it has not been written since."""
    return _verified.get(str(path.absolute())) == _identity(path)


def forget_verified() -> None:
    """Let every file be verified again when it is next opened."""
    _verified.clear()


def mark_verified(path: Path) -> None:
    """Record that this process has verified the file in its current state."""
    _verified[str(path.absolute())] = _identity(path)


def remove_file(path: Path) -> None:
    """Delete a file, if there is one, and what this process remembers of it."""
    path.unlink(missing_ok=True)
    _verified.pop(str(path.absolute()), None)


def sweep_partials(folder: Path) -> None:
    """Remove partial files of killed processes of this machine below a folder.

    Files of running processes and of other machines are kept, so that several processes may share the folder.
    """
    for path in folder.rglob(f".*{PARTIAL}*"):
        host, _, rest = path.name[1:].partition("-")
        number = rest.partition("-")[0]
        if host == _host() and number.isdigit() and not psutil.pid_exists(int(number)):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file. Raises `OSError`, also for a pipe, which might never end."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_free_space(folder: Path, needed_bytes: int, what: str) -> None:
    """Raise `InputError` if the disk of `folder` (which need not exist yet) has too little space for `what`."""
    free = shutil.disk_usage(_existing(folder)).free
    if free < needed_bytes:
        raise InputError(
            f"{folder}: {what} needs {needed_bytes / 1e6:,.0f} MB of disk, but {free / 1e6:,.0f} MB are free; "
            "free some space or choose another folder"
        )


def disk_of(folder: Path) -> int:
    """Return the number of the file system of `folder`, which need not exist yet."""
    return _existing(folder).stat().st_dev


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest of its parents that exists."""
    return next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` in the block, except `FileNotFoundError`, into a `StorageError` that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(Path(error.filename) if error.filename else path, error) from error


def _owner() -> str:
    return f"{_host()}-{os.getpid()}"


@cache
def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _create(path: Path, mode: int) -> int:
    """Create an empty file. Returns its permissions: `mode` without what the umask takes away."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    try:
        return stat.S_IMODE(os.fstat(handle).st_mode)
    finally:
        os.close(handle)


def _identity(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
