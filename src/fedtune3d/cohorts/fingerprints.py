"""Exact fingerprints: the same image is found again however it was saved, without anyone seeing it."""

import hashlib
import hmac
import json
import re
from pathlib import Path

import numpy as np

from fedtune3d.cohorts.nifti import Scan, read_scan
from fedtune3d.files import write_json

SIDECAR_KEY = "voxels_sha256"


def voxels_digest(scan: Scan) -> str:
    """The SHA-256 of a scan's canonical voxels, in hexadecimal.

    Canonical are the ranks of the voxels among the scan's distinct float32 values, in RAS order, without border planes
    that hold nothing but the value of the first corner. So the digest is the same for a copy that is compressed,
    turned, padded, rescaled, or stored in another type that keeps distinct values distinct (integers of up to 16 bits
    as floats, and back). It differs where voxels were interpolated, or where floats were rounded to integers; there
    the near fingerprint looks.
    """
    inside = scan.voxels != scan.voxels[0, 0, 0]
    box = []
    for axis in range(3):
        planes = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(int(planes[0]), int(planes[-1]) + 1))
    voxels = scan.voxels[tuple(box)]
    ranks = np.searchsorted(np.unique(voxels), voxels).astype("<u4")
    return hashlib.sha256(repr(voxels.shape).encode() + ranks.tobytes()).hexdigest()


def known_digest(scan: Path, sidecar: Path) -> str:
    """The digest of a scan that was prepared, kept in the prepared scan's .json so that it is computed once.

    Raises:
        ScanError: If it is not kept yet and the scan cannot be read.
    """
    about = json.loads(sidecar.read_text(encoding="utf-8"))
    if SIDECAR_KEY not in about:
        about[SIDECAR_KEY] = voxels_digest(read_scan(scan))
        write_json(sidecar, about)
    return str(about[SIDECAR_KEY])


def keyed(key: bytes, kind: str, *parts: str) -> str:
    """HMAC-SHA256 of something that sites compare, in hexadecimal; without the key nobody can test a guess on it."""
    return hmac.new(key, "\x1f".join((kind, *parts)).encode(), "sha256").hexdigest()


def normal_id(participant: str) -> str:
    """A participant's id without prefix, case and leading zeros, as tables differ in them: ``sub-A007`` → ``a7``."""
    return re.sub(r"0*(\d+)", r"\1", participant.removeprefix("sub-").lower())


def id_pattern(participant: str) -> str:
    """An id with every digit as ``#``: ``sub-ADNI002S0413`` → ``adni###s####``."""
    return re.sub(r"\d", "#", participant.removeprefix("sub-").lower())
