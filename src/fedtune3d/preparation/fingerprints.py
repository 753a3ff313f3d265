"""Exact fingerprints, which recognise the same image in any file format without revealing it."""

import hashlib
import hmac
import re

import numpy as np

from fedtune3d.preparation.grid import crop_to
from fedtune3d.preparation.nifti import Scan


def voxels_digest(scan: Scan) -> str:
    """Compute the SHA-256 of a scan's canonical voxels, in hexadecimal.

    The canonical voxels are ranks among the scan's distinct float32 values, in RAS order, without border planes in
    which all voxels equal the first corner. So the digest is the same for a copy that is compressed, reoriented,
    padded, rescaled, or stored in another type that keeps distinct values distinct (integers of up to 16 bits as
    floats, and back). It differs if voxels were interpolated or floats were rounded to integers; the near fingerprint
    covers these.
    """
    voxels = scan.voxels[crop_to(scan.voxels != scan.voxels[0, 0, 0], margin=0)]
    ranks = np.searchsorted(np.unique(voxels), voxels).astype("<u4")
    return hashlib.sha256(repr(voxels.shape).encode() + ranks.tobytes()).hexdigest()


def keyed(key: bytes, kind: str, *parts: str) -> str:
    """Compute the HMAC-SHA256 of a value to compare between sites; guesses cannot be tested without the key."""
    return hmac.new(key, "\x1f".join((kind, *parts)).encode(), "sha256").hexdigest()


def normal_id(participant: str) -> str:
    """Normalise a participant's id, without prefix, case and leading zeros: ``sub-A007`` → ``a7``."""
    return re.sub(r"0*(\d+)", r"\1", participant.removeprefix("sub-").lower())


def id_pattern(participant: str) -> str:
    """Return an id's pattern, with ``#`` for every digit: ``sub-ADNI002S0413`` → ``adni###s####``."""
    return re.sub(r"\d", "#", participant.removeprefix("sub-").lower())
