"""From a brain-extracted scan to the encoder's input, made once, kept and found again by its causes."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from joblib.externals.loky import ProcessPoolExecutor
from scipy import ndimage

from fedtune3d.cohorts.nifti import Scan, read_scan
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.errors import InputError, ScanError
from fedtune3d.files import atomic_path, require_free_space, sha256_file, write_json

PREPARATION_VERSION = 1  # raised whenever the same scan and settings give other voxels
BACKGROUND = 0.0  # every prepared voxel outside the brain; see `prepare_scan`
BRAIN_RANGE_ML = (600.0, 2300.0)  # the MNI152 template's has 1,890 mL, heads with their skull over 3,000 mL
_FAINT = 0.02  # of the 99th percentile: what is darker belongs to the background (ringing, noise after masking)
_MOST_DEVIATIONS = 50  # bright vessels reach about 15; one stray voxel beyond this flattens all the rest
_TRIMMED = 0.001  # of the brain's voxels on each side of an axis, so that a speck does not move its middle
_MASK_THRESHOLD = 0.499  # just below a half, so that ties do not hang on rounding


@dataclass(frozen=True)
class PreparationSettings:
    """The prepared grid: `size` voxels of `spacing_mm` along each axis."""

    size: int = 128
    spacing_mm: float = 1.5


@dataclass(frozen=True)
class PreparedScan:
    """A scan as the encoder takes it.

    Attributes:
        voxels: float16 (x, y, z) in RAS order, mean 0 and standard deviation 1 in the brain, `BACKGROUND` outside.
        affine: (4, 4) float64, voxel indices → the scan's world millimetres, RAS, axes along the world's.
        source_shape: The file's three axes.
        source_affine: (4, 4) float64, the file's.
        brain_ml: The volume of what was taken for brain, in millilitres.
    """

    voxels: np.ndarray
    affine: np.ndarray
    source_shape: tuple[int, ...]
    source_affine: np.ndarray
    brain_ml: float


def prepare_scan(path: Path, settings: PreparationSettings = PreparationSettings()) -> PreparedScan:
    """Resample a brain-extracted scan onto a grid centred on the brain, and z-score it in the brain.

    The brain is what is brighter or darker than zero by more than 2 % of the 99th percentile, its holes filled. One
    linear interpolation with TorchIO turns the scan into the world's RAS axes, to the grid's spacing and position,
    after the Gaussian smoothing of Cardoso et al. 2015 along axes that lose resolution. Grid voxel (size/2, size/2,
    size/2) sits on the scan's voxel nearest to the middle of the brain's extent, so a scan of the grid's own spacing is
    copied unblurred.

    Outside the brain stands 0, the brain's mean. SAM-Med3D's own pipeline (``ZNormalization(masking_method=x > 0)``)
    leaves −mean/sd there, about −3 to −5 and another number in every scan; a constant tells nothing about a site's
    contrast, survives augmentation by gain, bias field and padding, and marks the brain.

    Raises:
        ScanError: If the scan cannot be read (see `nifti.read_scan`), has its skull, no brain, or a spike beyond 50
            standard deviations. One line.
    """
    scan = read_scan(path)
    mask = _find_brain(scan.voxels)
    brain_ml = float(np.count_nonzero(mask) * abs(np.linalg.det(scan.affine[:3, :3])) / 1000)
    low, high = BRAIN_RANGE_ML
    if not low <= brain_ml <= high:
        reason = "raw heads need brain extraction first" if brain_ml > high else "is it cropped, or its spacing wrong?"
        raise ScanError(
            f"{path}: expected a brain-extracted scan, with {low:,.0f} to {high:,.0f} mL above zero, "
            f"found {brain_ml:,.0f} mL; {reason}"
        )
    if np.ptp(scan.voxels[mask]) == 0:
        raise ScanError(f"{path}: expected a T1-weighted image, found one value in the whole brain; is it a mask?")
    affine = _centred_grid(mask, scan.affine, settings)
    voxels, brain = _resample(scan, mask, affine, settings)
    prepared = _normalise(path, voxels, brain)
    return PreparedScan(prepared, affine, scan.source_shape, scan.source_affine, brain_ml)


def _find_brain(voxels: np.ndarray) -> np.ndarray:
    """Where the magnitude is more than faint; bool, the shape of `voxels`."""
    nonzero = np.abs(voxels[voxels != 0])
    threshold = _FAINT * np.percentile(nonzero, 99)
    mask = voxels > threshold
    if voxels.min() < 0:
        mask |= voxels < -threshold
    return mask


def _extents(mask: np.ndarray, trimmed: float = 0.0) -> list[tuple[int, int]]:
    """First and last index of the mask along each axis, leaving out a share of its voxels on either side."""
    extents = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        cumulative = np.cumsum(np.count_nonzero(mask, axis=others))
        first, last = np.searchsorted(cumulative, (trimmed * cumulative[-1] + 1, (1 - trimmed) * cumulative[-1]))
        extents.append((int(first), int(last)))
    return extents


def _centred_grid(mask: np.ndarray, affine: np.ndarray, settings: PreparationSettings) -> np.ndarray:
    """The affine of the prepared grid: RAS axes, its middle voxel on the mask's."""
    middle = [(first + last + 1) // 2 for first, last in _extents(mask, _TRIMMED)]
    grid = np.diag([settings.spacing_mm] * 3 + [1.0])
    grid[:3, 3] = (affine @ [*middle, 1])[:3] - settings.spacing_mm * (settings.size // 2)
    return grid


def _resample(
    scan: Scan, mask: np.ndarray, affine: np.ndarray, settings: PreparationSettings
) -> tuple[np.ndarray, np.ndarray]:
    """The scan and its brain mask (holes filled) on the grid: float32 and bool, (size, size, size)."""
    import torch
    import torchio

    box = tuple(slice(max(0, first - 2), last + 3) for first, last in _extents(mask))
    cropped_affine = scan.affine.copy()
    cropped_affine[:3, 3] = (scan.affine @ [*(side.start for side in box), 1])[:3]
    subject = torchio.Subject(
        scan=torchio.ScalarImage(tensor=torch.from_numpy(scan.voxels[box].copy())[None], affine=cropped_affine),
        mask=torchio.LabelMap(tensor=torch.from_numpy(mask[box].astype(np.float32))[None], affine=cropped_affine),
    )
    target = ((settings.size,) * 3, affine)
    resampled = torchio.Resample(target, label_interpolation="linear", antialias=True, copy=False)(subject)
    voxels, share = (resampled.get_image(name).data[0].numpy() for name in ("scan", "mask"))
    return voxels, ndimage.binary_fill_holes(share > _MASK_THRESHOLD)


def _normalise(path: Path, voxels: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Z-score in the brain, `BACKGROUND` outside; float16, finite."""
    inside = voxels[brain].astype(np.float64)
    prepared = np.full(voxels.shape, BACKGROUND, dtype=np.float16)
    with np.errstate(over="ignore", invalid="ignore"):
        prepared[brain] = (inside - inside.mean()) / inside.std()
    largest = float(np.abs(prepared).max())
    if not largest <= _MOST_DEVIATIONS:  # so that a NaN is caught too
        raise ScanError(
            f"{path}: expected every voxel within {_MOST_DEVIATIONS} standard deviations of the brain's mean, "
            f"found one at {largest:,.0f}; clip the spikes first"
        )
    return prepared


class PreparedStore:
    """A folder of prepared scans, each found by its causes: the scan file's bytes, the settings, the code's version.

    An entry is ``<key>.npy``, float16 (size, size, size), and ``<key>.json`` with affines, brain volume and causes.
    Neither holds a name or a path. Several processes may share a folder.
    """

    def __init__(self, folder: Path, settings: PreparationSettings = PreparationSettings()) -> None:
        self.folder = folder
        self.settings = settings

    def get(self, record: ScanRecord) -> Path:
        """The .npy of a record's scan, prepared now unless it is there whole. Raises `ScanError`."""
        causes = self._causes(record.path)
        target = self._target(causes)
        if not self._is_whole(target):
            prepared = prepare_scan(record.path, self.settings)
            with atomic_path(target) as partial:
                np.save(partial, prepared.voxels)
            info = {
                "affine": prepared.affine.tolist(),
                "source_affine": prepared.source_affine.tolist(),
                "source_shape": list(prepared.source_shape),
                "brain_ml": round(prepared.brain_ml, 1),
                "background": BACKGROUND,
                "causes": causes,
            }
            write_json(target.with_suffix(".json"), info)
        return target

    def find(self, record: ScanRecord) -> Path | None:
        """The .npy of a record's scan if it is there whole, else None. Raises `ScanError` if the scan is unreadable.

        The time of the .json says when an entry was last asked for.
        """
        target = self._target(self._causes(record.path))
        if not self._is_whole(target):
            return None
        os.utime(target.with_suffix(".json"))
        return target

    @property
    def entry_bytes(self) -> int:
        """What an entry takes on disk, rounded up."""
        return self.settings.size**3 * 2 + 16_384

    def _causes(self, scan: Path) -> dict[str, object]:
        try:
            digest = sha256_file(scan)
        except OSError as error:
            raise ScanError(f"{scan}: expected a readable scan; {error.strerror}; check the path") from error
        return {"scan_sha256": digest, "settings": asdict(self.settings), "version": PREPARATION_VERSION}

    def _target(self, causes: dict[str, object]) -> Path:
        return self.folder / f"{hashlib.sha256(json.dumps(causes, sort_keys=True).encode()).hexdigest()}.npy"

    def _is_whole(self, target: Path) -> bool:
        try:
            json.loads(target.with_suffix(".json").read_text(encoding="utf-8"))
            voxels = np.load(target, mmap_mode="r")
        except (OSError, ValueError, EOFError):
            return False
        return voxels.shape == (self.settings.size,) * 3 and voxels.dtype == np.float16


@dataclass(frozen=True)
class PreparedCohort:
    """Where each usable record's voxels are, and which records were left out, with the reason, both in given order."""

    paths: dict[ScanRecord, Path]
    bad: list[tuple[ScanRecord, str]]


def prepare_all(
    records: Sequence[ScanRecord],
    store: PreparedStore,
    workers: int = 1,
    on_bad_scan: Literal["stop", "skip"] = "stop",
    progress: Callable[[int, int], None] | None = None,
) -> PreparedCohort:
    """Prepare what the store lacks, in parallel over processes of one thread each; their number changes no voxel.

    Args:
        records: Scans of one site or several.
        store: Where prepared scans are kept. What is made stays, so a second call goes on where one was stopped.
        workers: Processes; 1 works in this one.
        on_bad_scan: ``stop`` raises at a bad scan; ``skip`` leaves bad ones out.
        progress: Called with (scans done, scans in all).

    Raises:
        ScanError: At the first bad scan in the order of the records, when `on_bad_scan` is ``stop``.
        InputError: If the disk is too full for what is missing, or a site has no usable scan left.
    """
    outcomes = {record: _outcome(store.find, record) for record in records}
    missing = [record for record, outcome in outcomes.items() if outcome is None]
    require_free_space(store.folder, len(missing) * store.entry_bytes, f"preparing {len(missing)} scans")
    for done, (record, outcome) in enumerate(_walk(store, outcomes, missing, workers), start=1):
        if isinstance(outcome, ScanError) and on_bad_scan == "stop":
            raise outcome
        outcomes[record] = outcome
        if progress is not None:
            progress(done, len(outcomes))
    paths = {record: outcome for record, outcome in outcomes.items() if isinstance(outcome, Path)}
    bad = [(record, str(outcome)) for record, outcome in outcomes.items() if isinstance(outcome, ScanError)]
    _require_usable_sites(paths, bad)
    return PreparedCohort(paths, bad)


Outcome = Path | ScanError | None


def _walk(
    store: PreparedStore, known: dict[ScanRecord, Outcome], missing: Sequence[ScanRecord], workers: int
) -> Iterator[tuple[ScanRecord, Outcome]]:
    """Every record with its outcome: first those known, then, as they are made, those missing, in their order."""
    yield from [(record, outcome) for record, outcome in known.items() if outcome is not None]
    if workers == 1 or len(missing) < 2:
        yield from ((record, _outcome(store.get, record)) for record in missing)
        return
    # Unlike multiprocessing's, these processes do not run the caller's script again, so it needs no __main__ guard.
    with ProcessPoolExecutor(min(workers, len(missing)), initializer=_use_one_thread) as pool:
        futures = [pool.submit(_outcome, store.get, record) for record in missing]
        try:
            for record, future in zip(missing, futures, strict=True):
                yield record, future.result()
        finally:
            for future in futures:
                future.cancel()


def _outcome(function: Callable[[ScanRecord], Path | None], record: ScanRecord) -> Outcome:
    try:
        return function(record)
    except ScanError as error:
        return error


def _use_one_thread() -> None:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _require_usable_sites(paths: dict[ScanRecord, Path], bad: list[tuple[ScanRecord, str]]) -> None:
    usable = {record.site for record in paths}
    for record, why in bad:
        if record.site not in usable:
            count = sum(other.site == record.site for other, _ in bad)
            raise InputError(f"site {record.site}: expected a usable scan, but all {count} are bad; the first: {why}")
