"""One writer per folder: a second one is refused at once, with a message that names the first. Readers never wait.

A thread that holds a folder may take it again, so a command can lock it before its slow imports. The lock is the
operating system's, on ``.lock`` in the folder, so it ends with its process, even after a crash; its holder is written
to ``.lock-holder``. File systems without locks (some network drives) are refused.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from fedtune3d._utils.clock import timestamp
from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import storage_errors, write_text

LOCK, HOLDER = ".lock", ".lock-holder"
_held: set[tuple[Path, int]] = set()
"""Folder and thread of each lock that this process holds."""
_kept: list[FileLock] = []
"""Locks that this process holds until it ends."""


@contextmanager
def one_writer(folder: Path, command: str) -> Iterator[None]:
    """Hold a folder, created if missing, as its only writer during the block.

    Args:
        folder: The folder that the block writes to.
        command: The running command, for the message to other writers, such as ``fedtune3d run``.

    Raises:
        InputError: If another process, or another thread of this one, holds the folder.
        StorageError: If the folder cannot be written to.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        key = (folder.resolve(), threading.get_ident())
    if key in _held:
        yield
        return
    lock = FileLock(folder / LOCK, thread_local=False)
    with storage_errors(folder / LOCK):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise InputError(
                f"{folder}: {_holder(folder)} is writing to this folder; wait until it ends, or choose another folder"
            ) from None
    try:
        since = timestamp()
        write_text(folder / HOLDER, f"`{command}` (process {os.getpid()} on {socket.gethostname()}, since {since})\n")
        _held.add(key)
        yield
    finally:
        _held.discard(key)
        (folder / HOLDER).unlink(missing_ok=True)
        _remove_if_unused(folder, missing)
        lock.release()


def ended_well(folder: Path) -> bool:
    """Return whether no writer was killed in a folder since the last one that ended, and none is at work."""
    return not (folder / HOLDER).exists()


def is_unused(folder: Path) -> bool:
    """Return whether a folder is missing, or contains nothing but the files of the lock."""
    return not folder.exists() or {path.name for path in folder.iterdir()} <= {LOCK, HOLDER}


def hold_until_exit(folder: Path) -> None:
    """Hold a folder, created if missing, until this process ends, however it ends.

    Raises:
        InputError: If another process holds it.
        StorageError: If the folder cannot be written to.
    """
    lock = FileLock(folder / LOCK, thread_local=False)
    with storage_errors(folder / LOCK):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise InputError(f"{folder}: another process is writing to this folder; wait until it ends") from None
    _kept.append(lock)


def wait_until_free(folder: Path, seconds: float) -> None:
    """Wait until no process holds a folder.

    Raises:
        InputError: If one still holds it after `seconds`.
        StorageError: If its lock cannot be opened.
    """
    if not (folder / LOCK).exists():
        return
    lock = FileLock(folder / LOCK, thread_local=False)
    with storage_errors(folder / LOCK):
        try:
            lock.acquire(timeout=seconds)
        except Timeout:
            raise InputError(f"{folder}: a process of a run that was stopped is still writing here; end it") from None
    lock.release()


def _remove_if_unused(folder: Path, made: list[Path]) -> None:
    """Remove the lock and the created folders of a command that was refused before it wrote anything."""
    with suppress(OSError):
        if is_unused(folder):
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()
            for path in made[1:]:
                path.rmdir()


def _holder(folder: Path) -> str:
    try:
        return (folder / HOLDER).read_text(encoding="utf-8").strip() or "another process"
    except OSError:
        return "another process"
