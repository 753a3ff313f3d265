"""A gzip file is read to its end: any damage is noticed."""

import gzip
import random
import zlib
from contextlib import suppress
from pathlib import Path

import pytest

from fedtune3d.preparation.gzip_files import read_gzip

CONTENT = random.Random(1).randbytes(3_000_000)


def save(folder: Path, packed: bytes) -> Path:
    path = folder / "file.gz"
    path.write_bytes(packed)
    return path


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("padding", [b"", b"\0" * 700])
def test_the_content_is_gzips(tmp_path: Path, level: int, padding: bytes) -> None:
    path = save(tmp_path, gzip.compress(CONTENT, level) + padding)
    assert read_gzip(path, len(CONTENT)) == (CONTENT, len(CONTENT))
    assert read_gzip(path, 1000) == (CONTENT[:1000], len(CONTENT))


def test_members_are_joined(tmp_path: Path) -> None:
    parts = CONTENT[:10], CONTENT[10:2_500_000], b"", CONTENT[2_500_000:]
    path = save(tmp_path, b"".join(gzip.compress(part) + b"\0" * 3 for part in parts))
    assert read_gzip(path, len(CONTENT)) == (CONTENT, len(CONTENT))


def test_an_empty_file_is_cut_off(tmp_path: Path) -> None:
    with pytest.raises(EOFError):
        read_gzip(save(tmp_path, b""), 10)


def test_every_cut_and_what_follows_the_end_is_noticed(tmp_path: Path) -> None:
    packed = gzip.compress(CONTENT[:2000], mtime=0)
    for length in range(len(packed)):
        with pytest.raises(EOFError):
            read_gzip(save(tmp_path, packed[:length]), 5000)
    with pytest.raises(zlib.error):
        read_gzip(save(tmp_path, packed + b"more"), 5000)


def test_no_flipped_bit_behind_the_header_changes_the_content(tmp_path: Path) -> None:
    """Only those that pad the last byte of the stream pass, because they say nothing."""
    content = b"abcabcabc" * 40 + CONTENT[:100]
    packed = gzip.compress(content, mtime=0)
    passed = 0
    for position in range(10, len(packed)):
        for bit in range(8):
            damaged = bytearray(packed)
            damaged[position] ^= 1 << bit
            path = save(tmp_path, bytes(damaged))
            with suppress(EOFError, zlib.error):
                assert read_gzip(path, 5000) == (content, len(content))
                passed += 1
    assert passed < 8
