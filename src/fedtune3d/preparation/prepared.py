"""From a site's scan to the encoder's input, made once, kept and found again by its causes."""

import fcntl
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from joblib.externals.loky import ProcessPoolExecutor

from fedtune3d._utils.errors import InputError, ScanError
from fedtune3d._utils.files import atomic_path, require_free_space, sha256_file, write_json
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.preparation.bias import correct_bias
from fedtune3d.preparation.brain import Device, extract_brain
from fedtune3d.preparation.fingerprints import voxels_digest
from fedtune3d.preparation.grid import centred_grid, crop_affine, crop_to, resample, resample_affinely
from fedtune3d.preparation.intensity import Intensity, normalise_intensity
from fedtune3d.preparation.nifti import Scan, read_scan
from fedtune3d.preparation.quality.measures import Quality, measure_quality
from fedtune3d.preparation.recognition import STEPS, Declared, Step, read_declared
from fedtune3d.preparation.registration import register_to_template
from fedtune3d.preparation.template import SPACE, Template, load_template

PREPARATION_VERSION = 2  # raised whenever the same scan and settings give other voxels
BACKGROUND = 0.0  # every prepared voxel outside the brain; see `prepare_scan`
BRAIN_RANGE_ML = (600.0, 2300.0)  # the MNI152 template's has 1,890 mL, heads with their skull over 3,000 mL
OWN_SPACE = "scan"
_FAINT = 0.02  # of the 99th percentile: what is darker belongs to the background (ringing, noise after masking)
_MOST_DEVIATIONS = 50  # bright vessels reach about 15; one stray voxel beyond this flattens all the rest
_MARGIN = 4  # voxels kept around the brain


@dataclass(frozen=True)
class PreparationSettings:
    """What is done to a scan.

    Attributes:
        size: Voxels of the prepared grid along each axis.
        spacing_mm: Their size.
        steps: Which of `raw.recognition.STEPS` every scan shall have behind it; those that BIDS says are done are not
            done again. ``auto``: all for a head with its skull, none for a brain.
        intensity: How voxels are brought onto a common scale; see `intensity.normalise_intensity`.
        device: Where brains are extracted.
    """

    size: int = 128
    spacing_mm: float = 1.5
    steps: Literal["auto"] | tuple[Step, ...] = "auto"
    intensity: Intensity = "zscore"
    device: Device = "cpu"


@dataclass(frozen=True)
class PreparedScan:
    """A scan as the encoder takes it.

    Attributes:
        voxels: float16 (x, y, z) in RAS order, by default mean 0 and standard deviation 1 in the brain, `BACKGROUND`
            outside.
        brain: bool, the same shape: what was taken for brain, holes filled.
        affine: (4, 4) float64, voxel indices → millimetres of `space`, RAS, axes along the world's.
        space: ``scan``, the file's own world, or the name of the template's (MNI152NLin2009aSym).
        to_scan: (4, 4) float64, millimetres of `space` → the file's world millimetres; the identity in space ``scan``.
        source_shape: The file's three axes.
        source_affine: (4, 4) float64, the file's.
        brain_ml: The volume of what was taken for brain, in the file's voxels, in millilitres.
        steps: What was done here: ``brain``, ``bias``, ``register``, in this order.
        quality: What was measured of it.
        voxels_sha256: `fingerprints.voxels_digest` of the file.
    """

    voxels: np.ndarray
    brain: np.ndarray
    affine: np.ndarray
    space: str
    to_scan: np.ndarray
    source_shape: tuple[int, ...]
    source_affine: np.ndarray
    brain_ml: float
    steps: tuple[Step, ...]
    quality: Quality
    voxels_sha256: str


def prepare_scan(path: Path, settings: PreparationSettings = PreparationSettings()) -> PreparedScan:
    """Bring a scan onto the prepared grid, with the steps that it still needs.

    A head with its skull, by default: brain extraction (or the brain mask beside the file, where there is one), bias
    correction, affine registration to MNI152; the grid is the template's. A brain that BIDS says lies in MNI152 space
    is put on the template's grid as it lies. Any other brain stays as it lies, on a grid centred on it: grid voxel
    (size/2, size/2, size/2) sits on the scan's voxel nearest to the middle of the brain's extent, so a scan of the
    grid's own spacing is copied unblurred. All take one linear interpolation, after the Gaussian smoothing of Cardoso
    et al. 2015 along axes that lose resolution.

    A scan counts as a brain where its name or sidecar says so, or where what is brighter or darker than zero by more
    than 2 % of the 99th percentile fills no more than 2,300 mL.

    Outside the brain stands 0, the brain's mean. SAM-Med3D's own pipeline (``ZNormalization(masking_method=x > 0)``)
    leaves −mean/sd there, about −3 to −5 and another number in every scan; a constant tells nothing about a site's
    contrast, survives augmentation by gain, bias field and padding, and marks the brain.

    Raises:
        ScanError: If the scan cannot be read (see `nifti.read_scan`), has its skull though `settings` leave out the
            brain extraction, has no brain, or a spike beyond 50 standard deviations. One line.
        InputError: If brain extraction is needed and not installed.
    """
    scan, declared = read_scan(path), read_declared(path)
    brain = _find_brain(scan.voxels)
    steps = _steps_to_do(declared, _millilitres(brain, scan.affine), settings)
    if "brain" in steps:
        brain = _extract(path, scan, declared, settings.device)
    brain_ml = _millilitres(brain, scan.affine)
    _check_brain(path, scan, brain, brain_ml)
    template = load_template(settings.size, settings.spacing_mm)
    work = _Work(scan.voxels, scan.affine, brain)
    if "bias" in steps:
        work = work.cropped()
        work = _Work(correct_bias(work.voxels, work.affine, work.brain), work.affine, work.brain)
    if "register" in steps or "register" in declared.done:
        placed = _place_in_template(path, work.cropped(), template, settings.size, register="register" in steps)
    else:
        grid = centred_grid(work.brain, work.affine, settings.size, settings.spacing_mm)
        voxels, on_grid = resample(work.voxels, work.affine, work.brain, grid, settings.size)
        placed = _Placed(voxels, on_grid, grid, OWN_SPACE, np.eye(4))
    return PreparedScan(
        _normalise(path, placed.voxels, placed.brain, settings.intensity, template),
        placed.brain,
        placed.affine,
        placed.space,
        placed.to_scan,
        scan.source_shape,
        scan.source_affine,
        brain_ml,
        steps,
        measure_quality(path, scan, brain, work.voxels[work.brain], placed.voxels, placed.brain, template),
        voxels_digest(scan),
    )


@dataclass(frozen=True)
class _Work:
    """A scan, or the box around its brain, in its own voxels."""

    voxels: np.ndarray
    affine: np.ndarray
    brain: np.ndarray

    def cropped(self) -> "_Work":
        box = crop_to(self.brain, _MARGIN)
        return _Work(self.voxels[box], crop_affine(self.affine, box), self.brain[box])


@dataclass(frozen=True)
class _Placed:
    """On the prepared grid, intensities as they were."""

    voxels: np.ndarray
    brain: np.ndarray
    affine: np.ndarray
    space: str
    to_scan: np.ndarray


def _steps_to_do(declared: Declared, bright_ml: float, settings: PreparationSettings) -> tuple[Step, ...]:
    has_brain_only = "brain" in declared.done or (not declared.has_skull and bright_ml <= BRAIN_RANGE_ML[1])
    if settings.steps == "auto":
        wanted: Sequence[Step] = () if has_brain_only else STEPS
    else:
        wanted = settings.steps
    done = declared.done | ({"brain"} if has_brain_only else set())
    return tuple(step for step in STEPS if step in wanted and step not in done)


def _extract(path: Path, scan: Scan, declared: Declared, device: Device) -> np.ndarray:
    """The brain by the mask beside the scan, else by the network."""
    if declared.brain_mask is None:
        try:
            return extract_brain(scan.voxels, device)
        except ValueError as error:
            if isinstance(error, InputError):
                raise InputError(f"{path}: {error}") from error
            raise ScanError(f"{path}: expected a T1-weighted head, but {error}; look at it") from error
    mask = read_scan(declared.brain_mask)
    if mask.voxels.shape != scan.voxels.shape or not np.allclose(mask.affine, scan.affine, atol=1e-3):
        raise ScanError(
            f"{declared.brain_mask}: expected the grid of {path.name}, {scan.source_shape}, found another, "
            f"{mask.source_shape}, or another affine; put it right or away"
        )
    return mask.voxels > 0.5


def _check_brain(path: Path, scan: Scan, brain: np.ndarray, brain_ml: float) -> None:
    low, high = BRAIN_RANGE_ML
    if not low <= brain_ml <= high:
        reason = (
            "raw heads need brain extraction first: write preparation: {steps: auto}"
            if brain_ml > high
            else "is it cropped, or its spacing wrong?"
        )
        raise ScanError(
            f"{path}: expected a brain-extracted scan, with {low:,.0f} to {high:,.0f} mL above zero, "
            f"found {brain_ml:,.0f} mL; {reason}"
        )
    if np.ptp(scan.voxels[brain]) == 0:
        raise ScanError(f"{path}: expected a T1-weighted image, found one value in the whole brain; is it a mask?")


def _place_in_template(path: Path, work: _Work, template: Template, size: int, *, register: bool) -> _Placed:
    to_scan = np.eye(4)
    if register:
        try:
            to_scan = register_to_template(np.where(work.brain, work.voxels, np.float32(0)), work.affine, template)
        except RuntimeError as error:  # ITK's, when the two do not overlap any more
            reason = str(error).strip().splitlines()[-1]
            raise ScanError(f"{path}: cannot be registered to the template ({reason}); look at it") from error
    to_voxels = np.linalg.inv(work.affine) @ to_scan @ template.affine
    voxels, brain = resample_affinely(work.voxels, work.brain, to_voxels, size)
    if not brain.any():
        raise ScanError(f"{path}: expected a brain where the template has its own, found none; is its space right?")
    return _Placed(voxels, brain, template.affine, SPACE, to_scan)


def _millilitres(brain: np.ndarray, affine: np.ndarray) -> float:
    return float(np.count_nonzero(brain) * abs(np.linalg.det(affine[:3, :3])) / 1000)


def _find_brain(voxels: np.ndarray) -> np.ndarray:
    """Where the magnitude is more than faint; bool, the shape of `voxels`."""
    nonzero = np.abs(voxels[voxels != 0])
    threshold = _FAINT * np.percentile(nonzero, 99)
    mask = voxels > threshold
    if voxels.min() < 0:
        mask |= voxels < -threshold
    return mask


def _normalise(
    path: Path, voxels: np.ndarray, brain: np.ndarray, intensity: Intensity, template: Template
) -> np.ndarray:
    """The chosen scale in the brain, `BACKGROUND` outside; float16, finite."""
    prepared = np.full(voxels.shape, BACKGROUND, dtype=np.float16)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        prepared[brain] = normalise_intensity(voxels[brain], intensity, template.voxels[template.brain])
        largest = float(np.abs(normalise_intensity(voxels[brain], "zscore")).max())
    if intensity != "zscore" and not np.isfinite(prepared).all():
        raise ScanError(f"{path}: intensity {intensity} gives numbers beyond float16's 65,504; choose zscore")
    if not largest <= _MOST_DEVIATIONS:  # so that a NaN is caught too
        raise ScanError(
            f"{path}: expected every voxel within {_MOST_DEVIATIONS} standard deviations of the brain's mean, "
            f"found one at {largest:,.0f}; clip the spikes first"
        )
    return prepared


class PreparedStore:
    """A folder of prepared scans, each found by its causes: the scan file's bytes, the settings, the code's version.

    An entry is ``<key>.npy``, float16 (size, size, size), ``<key>.npz`` with the brain mask, packed to bits, and, last,
    ``<key>.json`` with affines, brain volume, quality and causes. None holds a name or a path. Several processes may
    share a folder. `load_prepared` reads an entry.
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
            with atomic_path(target.with_suffix(".npz")) as partial:
                np.savez_compressed(partial, brain=np.packbits(prepared.brain))
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
        return self.settings.size**3 * 2 + 131_072

    def _causes(self, scan: Path) -> dict[str, object]:
        try:
            declared = read_declared(scan)
            return {
                "scan_sha256": sha256_file(scan),
                "done": sorted(declared.done),
                "has_skull": declared.has_skull,
                "brain_mask_sha256": sha256_file(declared.brain_mask) if declared.brain_mask else None,
                "settings": asdict(self.settings),
                "version": PREPARATION_VERSION,
            }
        except OSError as error:
            raise ScanError(f"{scan}: expected a readable scan; {error.strerror}; check the path") from error

    def _target(self, causes: dict[str, object]) -> Path:
        return self.folder / f"{hashlib.sha256(json.dumps(causes, sort_keys=True).encode()).hexdigest()}.npy"

    def _is_whole(self, target: Path) -> bool:
        try:
            prepared = load_prepared(target)
        except InputError:
            return False
        return prepared.voxels.shape == (self.settings.size,) * 3 and prepared.voxels.dtype == np.float16


def load_prepared(path: Path) -> PreparedScan:
    """The entry whose .npy is `path`; its voxels stay on disk until they are read.

    Raises:
        InputError: If one of its three files is missing or damaged.
    """
    try:
        info = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
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
    with _without_leftovers(store.folder):
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


@contextmanager
def _without_leftovers(folder: Path) -> Iterator[None]:
    """Remove what killed processes left half-written in the folder, unless another process is writing there now.

    Who writes holds the folder's lock, shared; who gets it alone may clean up. A file system without locks (some
    network drives) keeps the leftovers, which no one takes for entries and `cache prune` removes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for partial in folder.glob(".*.partial.*"):
                partial.unlink(missing_ok=True)
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


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
