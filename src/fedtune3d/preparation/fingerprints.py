"""Exact fingerprints: the same image is found again however it was saved, without anyone seeing it."""

import hashlib
import hmac
import re

import numpy as np

from fedtune3d.preparation.grid import crop_to
from fedtune3d.preparation.nifti import Scan


def voxels_digest(scan: Scan) -> str:
    """The SHA-256 of a scan's canonical voxels, in hexadecimal.

    Canonical are the ranks of the voxels among the scan's distinct float32 values, in RAS order, without border planes
    that hold nothing but the value of the first corner. So the digest is the same for a copy that is compressed,
    turned, padded, rescaled, or stored in another type that keeps distinct values distinct (integers of up to 16 bits
    as floats, and back). It differs where voxels were interpolated, or where floats were rounded to integers; there
    the near fingerprint looks.
    """
    voxels = scan.voxels[crop_to(scan.voxels != scan.voxels[0, 0, 0], margin=0)]
    ranks = np.searchsorted(np.unique(voxels), voxels).astype("<u4")
    return hashlib.sha256(repr(voxels.shape).encode() + ranks.tobytes()).hexdigest()


def keyed(key: bytes, kind: str, *parts: str) -> str:
    """HMAC-SHA256 of something that sites compare, in hexadecimal; without the key nobody can test a guess on it."""
    return hmac.new(key, "\x1f".join((kind, *parts)).encode(), "sha256").hexdigest()


def normal_id(participant: str) -> str:
    """A participant's id without prefix, case and leading zeros, as tables differ in them: ``sub-A007`` → ``a7``."""
    return re.sub(r"0*(\d+)", r"\1", participant.removeprefix("sub-").lower())


def id_pattern(participant: str) -> str:
    """An id with every digit as ``#``: ``sub-ADNI002S0413`` → ``adni###s####``."""
    return re.sub(r"\d", "#", participant.removeprefix("sub-").lower())
