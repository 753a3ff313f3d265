"""Read a gzip file to its end in one pass, verifying its checksums."""

import zlib
from pathlib import Path

MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20
_GZIP_FORMAT = 31  # for zlib: a gzip header, and the CRC-32 and length at the end, which zlib verifies


def read_gzip(path: Path, max_bytes: int) -> tuple[bytes, int]:
    """Decompress a gzip file of one or more members, possibly padded with zeros.

    Args:
        path: The file.
        max_bytes: How much to keep; the rest is decompressed, verified and counted, but not kept.

    Returns:
        The first `max_bytes` of the content, and the total length.

    Raises:
        EOFError: If the file is truncated.
        zlib.error: If a checksum or length differs, the stream is damaged, or other data follows its end.
    """
    kept: list[bytes] = []
    length = 0
    member = zlib.decompressobj(_GZIP_FORMAT)
    with path.open("rb") as file:
        packed = file.read(_CHUNK)
        while packed:
            content = member.decompress(packed, _CHUNK)
            if length < max_bytes:
                kept.append(content[: max_bytes - length])
            length += len(content)
            packed = member.unused_data if member.eof else member.unconsumed_tail
            if member.eof:
                packed = (packed or file.read(_CHUNK)).lstrip(b"\0")
                while not packed and (more := file.read(_CHUNK)):
                    packed = more.lstrip(b"\0")
                if packed:
                    member = zlib.decompressobj(_GZIP_FORMAT)
            elif not packed:
                packed = file.read(_CHUNK)
    if not member.eof:
        raise EOFError("the compressed file ended before its end-of-stream marker was reached")
    return b"".join(kept), length
