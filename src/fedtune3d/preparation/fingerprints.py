"""Exact fingerprints, which recognise the same image in any file format without revealing it."""

import hashlib
import hmac
import re

import numpy as np
from numpy.typing import NDArray

from fedtune3d.preparation.arrays import Volume
from fedtune3d.preparation.grid import crop_to
from fedtune3d.preparation.nifti import Scan

_LARGEST = 2**20  # whole numbers up to here are ranked by a table, which takes a few megabytes


def voxels_digest(scan: Scan) -> str:
    """Compute the SHA-256 of a scan's canonical voxels, in hexadecimal.

    The canonical voxels are ranks among the scan's distinct float32 values, in RAS order, without border planes in
    which all voxels equal the first corner. So the digest is the same for a copy that is compressed, reoriented,
    padded, rescaled, or stored in another type that keeps distinct values distinct (integers of up to 16 bits as
    floats, and back). It differs if voxels were interpolated or floats were rounded to integers; the near fingerprint
    covers these.
    """
    voxels = scan.voxels[crop_to(scan.voxels != scan.voxels[0, 0, 0], margin=0)]
    digest = hashlib.sha256(repr(voxels.shape).encode())
    digest.update(np.ascontiguousarray(_ranks(voxels)).data)
    return digest.hexdigest()


def _ranks(voxels: Volume) -> NDArray[np.uint32]:
    """Return the rank of each voxel among the distinct values, little-endian: by a table, or else by sorting."""
    lowest, highest = voxels.min(), voxels.max()
    if lowest >= -_LARGEST and highest <= _LARGEST:
        whole = voxels.astype(np.int32)
        if np.array_equal(whole, voxels):
            whole -= int(lowest)
            is_there = np.zeros(int(highest) - int(lowest) + 1, dtype=bool)
            is_there[whole] = True
            return (np.cumsum(is_there, dtype="<u4") - np.uint32(1))[whole]
    return _ranks_by_sorting(voxels.ravel()).reshape(voxels.shape)


def _ranks_by_sorting(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return ranks, from sorted whole numbers that hold a value above its place; three times as fast as an argsort."""
    bits = (values + np.float32(0)).view(np.uint32)  # -0 becomes 0
    is_negative = bits >> np.uint32(31) == 1
    in_order = np.where(is_negative, ~bits, bits | np.uint32(1 << 31))  # whole numbers in the order of the floats
    packed = in_order.astype(np.uint64) << np.uint64(32) | np.arange(values.size, dtype=np.uint64)
    packed.sort()
    in_order = (packed >> np.uint64(32)).astype(np.uint32)
    ranks = np.empty(values.size, dtype="<u4")
    ranks[packed.astype(np.uint32)] = np.cumsum(np.diff(in_order, prepend=in_order[:1]) != 0, dtype="<u4")
    return ranks


def keyed(key: bytes, kind: str, *parts: str) -> str:
    """Compute the HMAC-SHA256 of a value to compare between sites; guesses cannot be tested without the key."""
    return hmac.new(key, "\x1f".join((kind, *parts)).encode(), "sha256").hexdigest()


def normal_id(participant: str) -> str:
    """Normalise a participant's id, without prefix, case and leading zeros: ``sub-A007`` → ``a7``."""
    return re.sub(r"0*(\d+)", r"\1", participant.removeprefix("sub-").lower())


def id_pattern(participant: str) -> str:
    """Return an id's pattern, with ``#`` for every digit: ``sub-ADNI002S0413`` → ``adni###s####``."""
    return re.sub(r"\d", "#", participant.removeprefix("sub-").lower())
