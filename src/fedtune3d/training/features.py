"""The feature cache: outputs of a model's prefix per scan and view, computed once and kept on disk."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import mark_verified, require_free_space, sweep_partials
from fedtune3d._utils.json_values import Json
from fedtune3d._utils.state_dicts import load_state, peek_info, save_state
from fedtune3d.training.cache_entries import CacheEntries, CacheEntry, is_fresh

FEATURES = "features"


@dataclass(frozen=True)
class FeatureKey:
    """Everything that a scan's features depend on; equal keys have equal features.

    Attributes:
        encoder: Name of the encoder.
        encoder_version: Version of the encoder's code.
        encoder_sha256: SHA-256 of the encoder's file if it is not part of this package; else empty.
        scan: Key of the prepared scan, which identifies its content and the preparation settings.
        view: ``"0"`` for the scan itself, else the augmentation with its settings and seed (`dataset.view_name`).
        prefix_sha256: SHA-256 of the prefix's weights.
        prefix_end: Number of stages in the prefix.
        dtype: The dtype in which the prefix is computed.
        device: Type of processor.
        threads: Number of threads, which affects the order of summation.
        batch_size: Number of scans encoded together.
        torch: Version of torch.
    """

    encoder: str
    encoder_version: int
    encoder_sha256: str
    scan: str
    view: str
    prefix_sha256: str
    prefix_end: int
    dtype: str
    device: str
    threads: int
    batch_size: int
    torch: str

    def digest(self) -> str:
        """Return the entry's name: a hash over all fields."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


class FeatureCache(CacheEntries):
    """Features on disk, one safetensors file per key, with the key's fields and a checksum in its header.

    Files are written atomically. Processes that share the folder wait for each other's entries instead of computing
    them twice. A process verifies each entry when it first uses it, and computes damaged entries again.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._checked: set[Path] = set()

    def features(
        self,
        keys: Sequence[FeatureKey],
        compute: Callable[[FeatureKey], torch.Tensor],
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Path]:
        """Return the files of `keys`, in order, computing those that are missing or damaged.

        Args:
            keys: Keys, possibly repeated.
            compute: Computes a key's features; kept as float16 if they are finite in it, else as float32.
            progress: Called with (entries computed, total entries to compute) after each entry.

        Raises:
            InputError: If the disk has too little space, or features are not finite.
        """
        missing = [key for key in dict.fromkeys(keys) if not self._is_whole(key)]
        if missing:  # lists the whole cache, which a run that only reads need not wait for
            sweep_partials(self.folder)
        made = 0
        for blocking in (False, True):  # first those that no other process is computing, then those still missing
            busy = []
            for key in missing:
                if not self._make(key, compute, blocking, len(missing)):
                    busy.append(key)
                    continue
                made += 1
                if progress:
                    progress(made, made + len(missing) - made)
            missing = busy
        return [self.path(key) for key in keys]

    def path(self, key: FeatureKey) -> Path:
        """Return the path of a key's entry, which may not exist."""
        digest = key.digest()
        return self.folder / digest[:2] / f"{digest}.safetensors"

    def _make(self, key: FeatureKey, compute: Callable[[FeatureKey], torch.Tensor], blocking: bool, left: int) -> bool:
        """Compute an entry unless it exists by now; False if another process holds its lock and `blocking` is False."""
        lock = FileLock(self.folder / "locks" / key.digest()[:2])
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        try:
            with lock.acquire(blocking=blocking):
                if not self._is_whole(key):
                    self._write(key, compute(key), left)
        except Timeout:
            return False
        return True

    def _write(self, key: FeatureKey, values: torch.Tensor, left: int) -> None:
        state = {FEATURES: _narrowed(values.detach().cpu(), key)}
        require_free_space(self.folder, left * state[FEATURES].nbytes, f"the feature cache ({left} scans to encode)")
        save_state(self.path(key), state, {"causes": asdict(key)})
        self._checked.add(self.path(key))

    def _is_whole(self, key: FeatureKey) -> bool:
        path = self.path(key)
        if not path.exists():
            return False
        if path not in self._checked:
            if damage(path):
                return False
            with suppress(OSError):  # the cache may be read-only
                os.utime(path)
            mark_verified(path)
            self._checked.add(path)
        return True

    def list_entries(self) -> list[CacheEntry]:
        """List all entries by name, reading only their headers."""
        entries = []
        for path in self.entry_paths():
            status = path.stat()
            entries.append(CacheEntry(path, _causes(path), status.st_size, status.st_mtime))
        return entries

    def entry_paths(self) -> list[Path]:
        """Return the file of each entry, sorted."""
        return sorted(path for path in self.folder.glob("??/*.safetensors") if not path.name.startswith("."))

    def damage(self, path: Path) -> str | None:
        """Return what is wrong with an entry, in one line; None if it is intact. Reads every byte."""
        return damage(path)

    def leftovers(self) -> list[Path]:
        """Return stale partial files."""
        return [path for path in self.folder.glob("*/.*.partial.*") if not is_fresh(path)]

    def remove(self, path: Path) -> None:
        """Delete an entry."""
        path.unlink(missing_ok=True)
        self._checked.discard(path)


def read_features(paths: Iterable[Path]) -> torch.Tensor:
    """Read several entries into one float32 batch; files do not stay mapped or in memory."""
    features = [load_state(path)[FEATURES] for path in paths]
    batch = torch.empty((len(features), *features[0].shape))
    for target, values in zip(batch, features, strict=True):
        target.copy_(values)
    return batch


def damage(path: Path) -> str | None:
    """Return what is wrong with an entry, in one line; None if it is intact. Reads every byte."""
    try:
        state = load_state(path)
    except InputError as error:
        return str(error)
    return None if state.keys() == {FEATURES} else f"{path}: contains no features"


def _causes(path: Path) -> dict[str, Json]:
    try:
        causes = peek_info(path).get("causes")
    except InputError:
        return {}
    return causes if isinstance(causes, dict) else {}


def _narrowed(values: torch.Tensor, key: FeatureKey) -> torch.Tensor:
    """Convert features to float16 if they are finite in it, else to float32."""
    if not values.isfinite().all():
        raise InputError(
            f"prepared scan {key.scan}, view {key.view}: expected finite features from the encoder, "
            "got NaN or infinity; check the scan and the encoder's weights"
        )
    half = values.half()
    return half if half.isfinite().all() else values.float()
