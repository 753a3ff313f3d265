"""Files from outside: detect paths that are not readable files, and read text in unknown encodings."""

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.json_values import Json

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)
_POINTERS = ((b"/annex/objects/", "git-annex"), (b"version https://git-lfs.github.com/spec/", "Git LFS"))


def obstacle(path: Path) -> str | None:
    """Describe what is at `path` instead of a readable file; None if there is such a file, or nothing.

    Checks the path before opening it, so that a named pipe without a writer does not block. Detects dropped content of
    DataLad and git-annex (a broken link into ``.git/annex``, or a pointer file), Git LFS pointers, other broken links,
    folders, pipes and devices. Raises `OSError`.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return _broken_link(path) if path.is_symlink() else None
    for is_kind, name in _KINDS:
        if is_kind(mode):
            return f"found {name}"
    with path.open("rb") as file:
        start = file.read(64)
    for marker, program in _POINTERS:
        if start.startswith(marker):
            return f"found a pointer of {program}, whose content is missing; {_fetch(program, path)}"
    return None


def _broken_link(path: Path) -> str:
    target = os.readlink(path)
    if "annex/objects" in target:
        return f"found a link of git-annex, whose content is missing; {_fetch('git-annex', path)}"
    return f"found a link to {target}, which does not exist; restore its target"


def _fetch(program: str, path: Path) -> str:
    return "fetch it with `git lfs pull`" if program == "Git LFS" else f"fetch it with `datalad get {path.name}`"


@dataclass(frozen=True)
class InputText:
    """The text of a file, and whether it had to be read as Latin-1 because it is not UTF-8."""

    text: str
    is_latin1: bool


def read_input_text(path: Path) -> InputText:
    """Read text as UTF-8, with or without a byte-order mark, or else as Latin-1; line ends become line feeds.

    Raises `OSError`.
    """
    content = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        return InputText(content.decode("utf-8-sig"), False)
    except UnicodeDecodeError:
        return InputText(content.decode("latin-1"), True)


def read_json_object(path: Path) -> dict[str, Json]:
    """Read a JSON object from outside, in UTF-8 or Latin-1.

    Raises:
        FileNotFoundError: If there is no such file or link.
        OSError: If it cannot be read.
        ValueError: If it is not a JSON object; one line without the path.
    """
    if reason := obstacle(path):
        raise ValueError(f"expected a JSON object, {reason}")
    try:
        value = json.loads(read_input_text(path).text)
    except RecursionError:
        raise ValueError("expected a JSON object, found one that is nested too deeply") from None
    except ValueError as error:  # also for a number with thousands of digits
        raise ValueError(f"expected a JSON object; {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {type(value).__name__}")
    return value
