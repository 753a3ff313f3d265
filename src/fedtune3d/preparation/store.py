"""Prepared scans on disk, keyed by everything that determines them."""

import hashlib
import json
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fedtune3d._utils.errors import DamagedFileError, InputError, ScanError, raise_if_machine
from fedtune3d._utils.files import atomic_path, is_verified, mark_verified, sha256_file
from fedtune3d._utils.json_values import JsonLike
from fedtune3d._utils.sealed import read_sealed_json, write_sealed_json
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.preparation.nifti import require_scan_file
from fedtune3d.preparation.prepare_scan import PREPARATION_VERSION, prepare_scan
from fedtune3d.preparation.prepared_scan import BACKGROUND, PreparedScan
from fedtune3d.preparation.quality.measures import Quality
from fedtune3d.preparation.recognition import read_declared
from fedtune3d.preparation.settings import DEFAULT_SETTINGS, PreparationSettings


class PreparedStore:
    """A folder of prepared scans, keyed by the scan file's bytes, the settings and the code's version.

    An entry is ``<key>.npy``, float16 (size, size, size), ``<key>.npz`` with the brain mask, packed to bits, and,
    written last, ``<key>.json`` with affines, brain volume, quality and the key's causes. No file contains a name or a
    path. Several processes may share a folder. The .json is sealed and contains the checksums of the other two files.
    """

    def __init__(self, folder: Path, settings: PreparationSettings = DEFAULT_SETTINGS) -> None:
        self.folder = folder
        self.settings = settings

    def get(self, record: ScanRecord) -> Path:
        """Return the .npy of a record's scan, preparing it if it is missing or damaged. Raises `ScanError`."""
        causes = self._causes(record.path)
        target = self._target(causes)
        if not self._is_whole(target):
            prepared = prepare_scan(record.path, self.settings)
            checksums = {}
            with atomic_path(target) as partial:
                np.save(partial, prepared.voxels)
                checksums[".npy"] = sha256_file(partial)
            with atomic_path(target.with_suffix(".npz")) as partial:
                np.savez_compressed(partial, brain=np.packbits(prepared.brain))
                checksums[".npz"] = sha256_file(partial)
            info = {
                "space": prepared.space,
                "affine": prepared.affine.tolist(),
                "to_scan": prepared.to_scan.tolist(),
                "source_affine": prepared.source_affine.tolist(),
                "source_shape": list(prepared.source_shape),
                "brain_ml": round(prepared.brain_ml, 1),
                "steps": list(prepared.steps),
                "quality": asdict(prepared.quality),
                "background": BACKGROUND,
                "causes": causes,
                "voxels_sha256": prepared.voxels_sha256,
                "files_sha256": checksums,
            }
            write_sealed_json(target.with_suffix(".json"), info)
        return target

    def find(self, record: ScanRecord) -> Path | None:
        """Return the .npy of a record's scan if it is intact, else None. Raises `ScanError` if the scan is unreadable.

        The modification time of the .json records the entry's last use.
        """
        target = self._target(self._causes(record.path))
        if not self._is_whole(target):
            return None
        with suppress(OSError):  # the cache may be read-only
            os.utime(target.with_suffix(".json"))
        return target

    @property
    def entry_bytes(self) -> int:
        """Size of an entry on disk, rounded up."""
        return self.settings.size**3 * 2 + 131_072

    def _causes(self, scan: Path) -> dict[str, JsonLike]:
        try:
            require_scan_file(scan)
            declared = read_declared(scan)
            return {
                "scan_sha256": sha256_file(scan),
                "done": sorted(declared.done),
                "has_skull": declared.has_skull,
                "brain_mask_sha256": sha256_file(declared.brain_mask) if declared.brain_mask else None,
                "settings": self.settings.causes(),
                "version": PREPARATION_VERSION,
            }
        except OSError as error:
            raise_if_machine(error, scan)
            raise ScanError(f"{scan}: expected a readable scan; {error.strerror}; check the path") from error

    def _target(self, causes: dict[str, JsonLike]) -> Path:
        return self.folder / f"{hashlib.sha256(json.dumps(causes, sort_keys=True).encode()).hexdigest()}.npy"

    def _is_whole(self, target: Path) -> bool:
        try:
            prepared = load_prepared(target)
        except InputError:
            return False
        return prepared.voxels.shape == (self.settings.size,) * 3 and prepared.voxels.dtype == np.float16


def read_info(path: Path) -> Any:
    """Read the sealed ``.json`` next to the .npy at `path`. Raises `DamagedFileError` and `FileNotFoundError`."""
    return read_sealed_json(path.with_suffix(".json"))


def count_steps(paths: Iterable[Path]) -> dict[str, int]:
    """Step of preparation → number of the scans with their .npy at `paths` that underwent it; ``scans`` → all of them.

    Raises as `read_info`.
    """
    counts: Counter[str] = Counter(scans=0)
    for path in paths:
        counts.update(["scans", *read_info(path)["steps"]])
    return dict(counts)


def scan_sha256(path: Path) -> str:
    """The SHA-256 of the scan that was prepared to the .npy at `path`. Raises as `read_info`."""
    digest: str = read_info(path)["causes"]["scan_sha256"]
    return digest


def _verify(path: Path, checksum: str) -> None:
    if not is_verified(path):
        if sha256_file(path) != checksum:
            raise DamagedFileError(path, "does not match its checksum")
        mark_verified(path)


def load_prepared(path: Path) -> PreparedScan:
    """Load the entry whose .npy is `path`; its voxels are memory-mapped.

    Raises:
        InputError: If one of its three files is missing or damaged.
    """
    try:
        info = read_info(path)
        for suffix, checksum in info["files_sha256"].items():
            _verify(path.with_suffix(suffix), checksum)
        voxels = np.load(path, mmap_mode="r")
        with np.load(path.with_suffix(".npz")) as masks:
            brain = np.unpackbits(masks["brain"], count=voxels.size).reshape(voxels.shape).astype(bool)
        return PreparedScan(
            voxels,
            brain,
            np.array(info["affine"]),
            info["space"],
            np.array(info["to_scan"]),
            tuple(info["source_shape"]),
            np.array(info["source_affine"]),
            info["brain_ml"],
            tuple(info["steps"]),
            Quality(**info["quality"]),
            info["voxels_sha256"],
        )
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: expected a prepared scan; {error}; prepare it again") from error
