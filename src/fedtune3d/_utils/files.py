"""Files that are whole or absent: write to a temporary name, then rename."""

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fedtune3d._utils.errors import InputError


@contextmanager
def atomic_path(target: Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary path beside `target`, renamed to it when the block ends well and removed when it does not.

    The temporary name keeps the target's suffixes, for writers that choose a format by them. Not `durable` is for what
    is made anew after a loss of power: the disk is not waited for.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{uuid.uuid4().hex}.partial.{target.name}")
    try:
        yield partial
        if durable:
            with partial.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with atomic_path(target) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write indented JSON, whole or not at all. NaN and infinity are refused: they are not JSON."""
    write_text(target, json.dumps(value, indent=2, allow_nan=False) + "\n")


def append_json_line(target: Path, value: Any) -> None:
    """Add one line of JSON, on the disk when this returns; a last line that a kill left unfinished gives way to it.

    NaN and infinity are refused: they are not JSON.
    """
    line = json.dumps(value, allow_nan=False) + "\n"
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("ab+") as file:
        _drop_half_line(file)
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def read_json_lines(path: Path) -> list[Any]:
    """The lines of `append_json_line`, but for a last one without its end; none where there is no file.

    Raises:
        ValueError: If a line is no JSON.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _drop_half_line(file: IO[bytes]) -> None:
    if file.tell() == 0:
        return
    file.seek(-1, os.SEEK_END)
    if file.read() != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal. Raises `OSError`, for a pipe, too: it might never end."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_free_space(folder: Path, needed_bytes: int, what: str) -> None:
    """Raise `InputError` when the disk of `folder` (which need not exist yet) has too little room for `what`."""
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise InputError(
            f"{folder}: {what} needs {needed_bytes / 1e6:,.0f} MB of disk, but {free / 1e6:,.0f} MB are free; "
            "free some space or choose another folder"
        )
