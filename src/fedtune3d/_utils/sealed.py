"""Sealed files: each has a SHA-256 of its content, which is verified when a process first opens it.

JSON has it under the key ``checksum``, YAML in a comment on its last line, any other format in ``checksums.jsonl`` next
to the file. There, the checksum is recorded before the file is renamed: after a kill in between, the file has its
previous content, whose checksum is recorded as well.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedtune3d._utils.errors import DamagedFileError
from fedtune3d._utils.files import (
    atomic_path,
    is_verified,
    json_text,
    mark_verified,
    read_bytes,
    sha256_file,
    write_bytes,
)
from fedtune3d._utils.ledgers import append_line, read_lines

CHECKSUMS = "checksums.jsonl"
_JSON_HEAD = '{\n  "checksum": "sha256:'
_JSON_NECK = '",\n'
_YAML_FOOT = "# checksum: sha256:"
_DIGEST_LENGTH = 64


def write_sealed_text(target: Path, text: str, *, private: bool = False) -> None:
    """Write UTF-8 text with its checksum, atomically. Arguments and errors as `atomic_path`."""
    write_bytes(target, _seal(target, text).encode(), private=private)


def write_sealed_json(target: Path, value: object, *, private: bool = False) -> None:
    """Write a non-empty JSON object, indented and with its checksum, atomically.

    Raises:
        ValueError: For NaN and infinity, which are not JSON; for anything but an object.
        StorageError: As `atomic_path`.
    """
    write_sealed_text(target, json_text(value), private=private)


def read_sealed_text(path: Path) -> str:
    """Read sealed text and verify it; the seal itself is not part of the result.

    Raises:
        FileNotFoundError: If there is no such file.
        DamagedFileError: If the content is not what was written.
        StorageError: If the file cannot be read.
    """
    content = read_bytes(path)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise DamagedFileError(path, "is not UTF-8 text") from error
    if path.suffix == ".json":
        return _open_json(path, text)
    if path.suffix in (".yaml", ".yml"):
        return _open_yaml(path, text)
    require_recorded(path, content)
    return text


def read_sealed_json(path: Path) -> object:
    """Read sealed JSON. Raises as `read_sealed_text`."""
    text = read_sealed_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(path, "is not JSON") from error


def record_checksum(path: Path, content: bytes | None = None) -> None:
    """Record the checksum of a file's content in ``checksums.jsonl`` next to it, before the file is renamed."""
    digest = sha256_file(path) if content is None else hashlib.sha256(content).hexdigest()
    append_line(_checksums(path), {"file": path.name, "sha256": digest})


def require_recorded(path: Path, content: bytes | None = None) -> None:
    """Verify a file against ``checksums.jsonl``. Raises `DamagedFileError` unless its content is recorded there.

    After a kill between recording and renaming, a file has its previous content, so any recorded content is valid.
    """
    if content is None and is_verified(path):
        return
    digest = sha256_file(path) if content is None else hashlib.sha256(content).hexdigest()
    recorded = [line["sha256"] for line in read_lines(_checksums(path)) if line["file"] == path.name]
    if not recorded:
        raise DamagedFileError(path, f"has no checksum in {_checksums(path).name}")
    if digest not in recorded:
        raise DamagedFileError(path, "does not match its checksum")
    mark_verified(path)


@contextmanager
def recorded_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path as `atomic_path`, and record the checksum for `require_recorded`."""
    with atomic_path(target) as partial:
        yield partial
        record_checksum(target, read_bytes(partial))


def _checksums(path: Path) -> Path:
    return path.with_name(CHECKSUMS)


def _seal(target: Path, text: str) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()
    if target.suffix == ".json":
        if not text.startswith("{\n") or text.startswith(_JSON_HEAD):
            raise ValueError(f"{target}: expected a non-empty JSON object to seal")
        return f"{_JSON_HEAD}{digest}{_JSON_NECK}{text[2:]}"
    if target.suffix in (".yaml", ".yml"):
        return f"{text}{_YAML_FOOT}{digest}\n"
    record_checksum(target, text.encode())
    return text


def _open_json(path: Path, text: str) -> str:
    digest, rest = text[len(_JSON_HEAD) :][:_DIGEST_LENGTH], text[len(_JSON_HEAD) + _DIGEST_LENGTH :]
    if not text.startswith(_JSON_HEAD) or not rest.startswith(_JSON_NECK):
        raise DamagedFileError(path, "has lost its checksum")
    return _matching(path, "{\n" + rest[len(_JSON_NECK) :], digest)


def _open_yaml(path: Path, text: str) -> str:
    content, mark, foot = text.rpartition(_YAML_FOOT)
    if not mark:
        raise DamagedFileError(path, "has lost its checksum")
    return _matching(path, content, foot.removesuffix("\n"))


def _matching(path: Path, content: str, digest: str) -> str:
    if hashlib.sha256(content.encode()).hexdigest() != digest:
        raise DamagedFileError(path, "does not match its checksum")
    mark_verified(path)
    return content
