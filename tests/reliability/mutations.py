"""Seeded damage to the bytes of a file: what disks, editors, transfers and careless hands do."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Mutation = Callable[[bytes, random.Random], bytes]

HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in to download.</body></html>\n"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 404116480\n"
VALUES = (None, True, False, [], {}, [[]], "", "text", -1, 0, 1e-300, 10**400, float("nan"), float("inf"), "\x00", "é")


def flip_bit(content: bytes, draw: random.Random) -> bytes:
    """Flip one bit."""
    changed = bytearray(content)
    changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def flip_bits(content: bytes, draw: random.Random) -> bytes:
    """Flip 2 to 64 bits."""
    for _ in range(draw.randrange(2, 65)):
        content = flip_bit(content, draw)
    return content


def delete_bytes(content: bytes, draw: random.Random) -> bytes:
    """Delete 1 to 64 bytes in a row."""
    start = draw.randrange(len(content))
    return content[:start] + content[start + draw.randrange(1, 65) :]


def delete_line(content: bytes, draw: random.Random) -> bytes:
    """Delete a line."""
    lines = content.split(b"\n")
    del lines[draw.randrange(len(lines))]
    return b"\n".join(lines)


def duplicate_line(content: bytes, draw: random.Random) -> bytes:
    """Write a line twice."""
    lines = content.split(b"\n")
    lines.insert(draw.randrange(len(lines)), lines[draw.randrange(len(lines))])
    return b"\n".join(lines)


def truncate(content: bytes, draw: random.Random) -> bytes:
    """Cut the file off, possibly to nothing."""
    return content[: draw.randrange(len(content))]


def duplicate(content: bytes, draw: random.Random) -> bytes:
    """Append the file to itself."""
    return content + content


def splice(content: bytes, draw: random.Random) -> bytes:
    """Overwrite one part of the file with another."""
    length = draw.randrange(1, min(4096, len(content)) + 1)
    start, end = (draw.randrange(len(content) - length + 1) for _ in range(2))
    return content[:end] + content[start : start + length] + content[end + length :]


def zero(content: bytes, draw: random.Random) -> bytes:
    """Set a block to zero, as a file system may after a loss of power."""
    start = draw.randrange(len(content))
    length = min(draw.choice((1, 16, 512, 4096)), len(content) - start)
    return content[:start] + bytes(length) + content[start + length :]


def insert_odd_bytes(content: bytes, draw: random.Random) -> bytes:
    """Insert NUL, invalid UTF-8, a byte order mark, line ends or an escape sequence."""
    odd = draw.choice((b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3", b"\r\n", b"\n", b"\x1b[2J", b"\t", b'"'))
    start = draw.choice((0, draw.randrange(len(content))))
    return content[:start] + odd + content[start:]


def change_digit(content: bytes, draw: random.Random) -> bytes:
    """Change one digit."""
    places = [match.start() for match in re.finditer(rb"\d", content[:200_000])]
    if not places:
        return flip_bit(content, draw)
    place = draw.choice(places)
    return content[:place] + str((content[place] - 48 + draw.randrange(1, 10)) % 10).encode() + content[place + 1 :]


def huge_number(content: bytes, draw: random.Random) -> bytes:
    """Replace a number by one that no machine holds."""
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?", content[:200_000]))
    if not numbers:
        return flip_bits(content, draw)
    number = draw.choice(numbers)
    huge = draw.choice((b"9" * 5000, b"1e400", b"-1e308", b"99999999999999999999", b"nan", b"-0", b"0x7fffffff"))
    return content[: number.start()] + huge + content[number.end() :]


def replace_by_html(content: bytes, draw: random.Random) -> bytes:
    """Replace the file by the page that a download portal sends instead."""
    return HTML


def replace_by_pointer(content: bytes, draw: random.Random) -> bytes:
    """Replace the file by a Git LFS pointer."""
    return LFS


def change_type(content: bytes, draw: random.Random) -> bytes:
    """Give a value in JSON or YAML another type, or nest it too deeply; flip bits in what is neither."""
    try:
        text = content.decode()
        is_json = text.lstrip().startswith(("{", "["))
        values = json.loads(text) if is_json else yaml.safe_load(text)
        places = list(_places(values))
        if not places:
            return flip_bits(content, draw)
        parent, key = draw.choice(places)
        if draw.random() < 0.1:
            del parent[key]
        else:
            parent[key] = draw.choice(VALUES)
        if draw.random() < 0.05:
            return ("[" * 100_000).encode()
        return (json.dumps(values) if is_json else yaml.safe_dump(values, sort_keys=False)).encode()
    except (ValueError, yaml.YAMLError, RecursionError):
        return flip_bits(content, draw)


BINARY: tuple[Mutation, ...] = (
    *(flip_bit,) * 4,
    flip_bits,
    delete_bytes,
    truncate,
    duplicate,
    splice,
    zero,
    insert_odd_bytes,
    replace_by_html,
    replace_by_pointer,
)
TEXT: tuple[Mutation, ...] = (
    *BINARY,
    *(change_digit,) * 3,
    *(huge_number,) * 2,
    *(change_type,) * 5,
    delete_line,
    duplicate_line,
)
TEXT_SUFFIXES = {".json", ".jsonl", ".yaml", ".yml", ".tsv", ".html", ".md", ".key", ".crt", ".pub"}


def mutate(path: Path, draw: random.Random) -> str:
    """Damage a file in place of its path, as a new file, so that hard links keep the old one. Returns the mutation."""
    content = path.read_bytes()
    mutations = TEXT if path.suffix in TEXT_SUFFIXES else BINARY
    while True:
        mutation = draw.choice(mutations)
        changed = mutation(content, draw) if content else draw.choice((HTML, LFS, b"\x00"))
        if changed != content:
            break
    mode = path.stat().st_mode
    path.unlink()
    path.write_bytes(changed)
    path.chmod(mode)
    return mutation.__name__


def _places(values: Any) -> Any:
    """Yield each container with each of its keys."""
    keys = values.keys() if isinstance(values, dict) else range(len(values)) if isinstance(values, list) else ()
    for key in list(keys):
        yield values, key
        yield from _places(values[key])
