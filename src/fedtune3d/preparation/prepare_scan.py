"""From a scan file to the encoder's input: brain extraction, the remaining steps, resampling and intensities."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedtune3d._utils.errors import InputError, ScanError
from fedtune3d.models.encoders.contract import Intensity
from fedtune3d.preparation.arrays import Affine, Mask, Volume
from fedtune3d.preparation.bias import correct_bias
from fedtune3d.preparation.brain import Device, extract_brain
from fedtune3d.preparation.fingerprints import voxels_digest
from fedtune3d.preparation.grid import centred_grid, crop_affine, crop_to, resample, resample_affinely
from fedtune3d.preparation.intensity import normalise_intensity
from fedtune3d.preparation.nifti import Scan, read_scan
from fedtune3d.preparation.prepared_scan import BACKGROUND, PreparedScan
from fedtune3d.preparation.quality.measures import measure_quality
from fedtune3d.preparation.recognition import STEPS, Declared, Step, read_declared
from fedtune3d.preparation.registration import register_to_template
from fedtune3d.preparation.settings import DEFAULT_SETTINGS, PreparationSettings
from fedtune3d.preparation.template import SPACE, Template, load_template

PREPARATION_VERSION = 4  # increased whenever the same scan and settings give different voxels
BRAIN_RANGE_ML = (600.0, 2300.0)  # the MNI152 template's brain has 1,890 mL, heads with skull over 3,000 mL
OWN_SPACE = "scan"
_FAINT = 0.02  # relative to the 99th percentile; darker voxels are background (ringing, noise after masking)
_MAX_DEVIATIONS = 50  # bright vessels reach about 15; a single outlier beyond this compresses all other intensities
_MARGIN = 4  # voxels kept around the brain


def prepare_scan(path: Path, settings: PreparationSettings = DEFAULT_SETTINGS) -> PreparedScan:
    """Prepare a scan: apply the steps that it still needs and resample it to the prepared grid.

    By default, a head with its skull gets brain extraction (or the brain mask next to the file, if there is one), bias
    correction and affine registration to MNI152, and is resampled to the template's grid. A brain that is in MNI152
    space according to BIDS is resampled to the template's grid without registration. Any other brain keeps its pose on
    a grid centred on it: grid voxel (size/2, size/2, size/2) is at the scan's voxel nearest to the centre of the
    brain's extent, so a scan with the grid's spacing is copied without blurring. All use one linear interpolation,
    after Gaussian smoothing (Cardoso et al. 2015) along axes that lose resolution.

    A scan counts as a brain if its name or sidecar says so, or if the voxels whose magnitude exceeds 2% of the 99th
    percentile fill at most 2,300 mL.

    Outside the brain, voxels are 0, the brain's mean. SAM-Med3D's own pipeline
    (``ZNormalization(masking_method=x > 0)``) leaves −mean/sd there, about −3 to −5 and different in every scan; a
    constant reveals nothing about a site's contrast, survives augmentation by gain, bias field and padding, and marks
    the brain.

    Raises:
        ScanError: If the scan cannot be read (see `nifti.read_scan`), has its skull although `settings` exclude brain
            extraction, has no brain, or has an outlier beyond 50 standard deviations. One line.
        InputError: If brain extraction is needed but not installed.
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


def is_slow(path: Path, settings: PreparationSettings = DEFAULT_SETTINGS) -> bool:
    """Return whether a scan needs a step that takes seconds, unlike resampling; False if it cannot be read."""
    try:
        scan, declared = read_scan(path), read_declared(path)
    except InputError:
        return False
    return bool(_steps_to_do(declared, _millilitres(_find_brain(scan.voxels), scan.affine), settings))


@dataclass(frozen=True)
class _Work:
    """A scan, or the box around its brain, in its own voxels."""

    voxels: Volume
    affine: Affine
    brain: Mask

    def cropped(self) -> "_Work":
        box = crop_to(self.brain, _MARGIN)
        return _Work(self.voxels[box], crop_affine(self.affine, box), self.brain[box])


@dataclass(frozen=True)
class _Placed:
    """A scan on the prepared grid, before intensity normalisation."""

    voxels: Volume
    brain: Mask
    affine: Affine
    space: str
    to_scan: Affine


def _steps_to_do(declared: Declared, bright_ml: float, settings: PreparationSettings) -> tuple[Step, ...]:
    has_brain_only = "brain" in declared.done or (not declared.has_skull and bright_ml <= BRAIN_RANGE_ML[1])
    if settings.steps == "auto":
        requested: Sequence[Step] = () if has_brain_only else STEPS
    else:
        requested = settings.steps
    done = declared.done | ({"brain"} if has_brain_only else set())
    return tuple(step for step in STEPS if step in requested and step not in done)


def _extract(path: Path, scan: Scan, declared: Declared, device: Device) -> Mask:
    """Return the brain mask from the file next to the scan, or else from the network."""
    if declared.brain_mask is None:
        try:
            return extract_brain(scan.voxels, device)
        except ValueError as error:
            if isinstance(error, InputError):
                raise InputError(f"{path}: {error}") from error
            raise ScanError(f"{path}: expected a T1-weighted head, but {error}; inspect it") from error
    mask = read_scan(declared.brain_mask)
    if mask.voxels.shape != scan.voxels.shape or not np.allclose(mask.affine, scan.affine, atol=1e-3):
        raise ScanError(
            f"{declared.brain_mask}: expected the shape {scan.source_shape} and the affine of {path.name}, found "
            f"{mask.source_shape} or another affine; correct or remove it"
        )
    return mask.voxels > 0.5


def _check_brain(path: Path, scan: Scan, brain: Mask, brain_ml: float) -> None:
    low, high = BRAIN_RANGE_ML
    if not low <= brain_ml <= high:
        reason = (
            "raw heads need brain extraction first: write preparation: {steps: auto}"
            if brain_ml > high
            else "is it cropped, or is its spacing wrong?"
        )
        raise ScanError(
            f"{path}: expected a brain-extracted scan, with {low:,.0f} to {high:,.0f} mL above zero, "
            f"found {brain_ml:,.0f} mL; {reason}"
        )
    if np.ptp(scan.voxels[brain]) == 0:
        raise ScanError(f"{path}: expected a T1-weighted image, found a constant value in the brain; is it a mask?")


def _place_in_template(path: Path, work: _Work, template: Template, size: int, *, register: bool) -> _Placed:
    to_scan = np.eye(4)
    if register:
        try:
            to_scan = register_to_template(np.where(work.brain, work.voxels, np.float32(0)), work.affine, template)
        except RuntimeError as error:  # from ITK, if the two no longer overlap
            reason = str(error).strip().splitlines()[-1]
            raise ScanError(f"{path}: cannot be registered to the template ({reason}); inspect it") from error
    to_voxels = np.linalg.inv(work.affine) @ to_scan @ template.affine
    voxels, brain = resample_affinely(work.voxels, work.brain, to_voxels, size)
    if not brain.any():
        raise ScanError(f"{path}: expected a brain at the template's position, found none; is its space correct?")
    return _Placed(voxels, brain, template.affine, SPACE, to_scan)


def _millilitres(brain: Mask, affine: Affine) -> float:
    return float(np.count_nonzero(brain) * abs(np.linalg.det(affine[:3, :3])) / 1000)


def _find_brain(voxels: Volume) -> Mask:
    """Return where the magnitude exceeds the background's; bool, the shape of `voxels`."""
    in_memory_order = voxels.ravel(order="K")
    nonzero = np.abs(in_memory_order[in_memory_order != 0])
    threshold = _FAINT * np.percentile(nonzero, 99, overwrite_input=True)
    mask: np.ndarray = voxels > threshold
    if voxels.min() < 0:
        mask |= voxels < -threshold
    return mask


def _normalise(
    path: Path, voxels: Volume, brain: Mask, intensity: Intensity, template: Template
) -> NDArray[np.float16]:
    """Normalise intensities in the brain and set `BACKGROUND` outside; float16, finite."""
    prepared = np.full(voxels.shape, BACKGROUND, dtype=np.float16)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        prepared[brain] = normalise_intensity(voxels[brain], intensity, template.voxels[template.brain])
        largest = float(np.abs(normalise_intensity(voxels[brain], "zscore")).max())
    if intensity != "zscore" and not np.isfinite(prepared).all():
        raise ScanError(f"{path}: intensity {intensity} gives values beyond float16's 65,504; choose zscore")
    if not largest <= _MAX_DEVIATIONS:  # also catches NaN
        raise ScanError(
            f"{path}: expected every voxel within {_MAX_DEVIATIONS} standard deviations of the brain's mean, "
            f"found one at {largest:,.0f}; clip the spikes first"
        )
    return prepared
