"""Whole heads, with skull and skin, painted from label maps: what a hospital's raw T1-weighted scan looks like."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import scipy.ndimage as ndi
from numpy.typing import NDArray

from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.simulation.label_maps import FIRST_OTHER_TISSUE, OTHER_LABEL, OUTER_CSF, TISSUE_OF_LABEL
from fedtune3d.simulation.scanning import TEXTURE, add_rician_noise, bias_field, rigid

# Intensities over white matter's of fluid, grey and white matter, and of what SynthSeg's maps label outside the brain,
# by where it lies: 506 the eyes, 511 the skin, 515 the skull's bone and 516 its marrow; the rest is soft tissue.
CONTRAST = (0.25, 0.68, 1.0)
OUTSIDE = {502: 0.8, 506: 0.25, 507: 0.45, 508: 0.1, 509: 0.5, 511: 0.75, 515: 0.1, 516: 0.85, 530: 0.6}
SOFT_TISSUE = 0.45
_FWHM_TO_SIGMA = 2 * np.sqrt(2 * np.log(2))


@dataclass(frozen=True)
class HeadScan:
    """How a head is scanned.

    Attributes:
        spacing_mm: Voxel sizes along right, anterior and superior.
        axis_codes: Where the voxel axes point, as in nibabel.
        gain: White matter's intensity; from 50 on whole numbers are stored, below it floats.
        bias_strength: Standard deviation of the bias field's logarithm.
        noise: Standard deviation of the noise in each channel, over white matter's intensity.
        turn_degrees: Standard deviation of the head's turn about each axis.
        shift_mm: Standard deviation of its shift along each axis.
    """

    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    axis_codes: str = "RAS"
    gain: float = 1000.0
    bias_strength: float = 0.12
    noise: float = 0.025
    turn_degrees: float = 4.0
    shift_mm: float = 6.0


_SPACINGS = ((1.0, 1.0, 1.0), (1.2, 0.94, 0.94), (1.0, 1.0, 2.0), (1.5, 1.5, 1.5))
_AXES = ("RAS", "PIR", "LPS", "LIA")
_GAINS = (100.0, 1000.0, 0.01, 5000.0)


def varied_scan(number: int) -> HeadScan:
    """One of four resolutions, orientations and gains each, in pairs that change from head to head."""
    turn = number // 4
    return HeadScan(
        _SPACINGS[(number + turn) % 4], _AXES[(3 * number + turn) % 4], _GAINS[(2 * number + number // 2 + turn) % 4]
    )


def paint_head(label_map: Path, scan: HeadScan, seed: int) -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    """A simulated T1-weighted head with its skull, and its label map in the scanner's world; the seed decides all.

    Args:
        label_map: FreeSurfer-style, with labels from 502 on outside the brain, as SynthSeg's.
        scan: How it is scanned.
        seed: Draws contrast, texture, pose, bias field and noise.
    """
    rng = numpy_rng(seed, label_map.name, "head")
    image = nib.as_closest_canonical(nib.load(label_map))
    labels = np.asarray(image.dataobj).astype(np.int16)
    painted = _intensities(rng)[labels]
    texture = ndi.gaussian_filter(rng.standard_normal(labels.shape, dtype=np.float32), 1.0)
    painted *= 1.0 + np.float32(TEXTURE / texture.std()) * texture
    pose = rigid(np.radians(rng.normal(0.0, scan.turn_degrees, 3)), rng.normal(0.0, scan.shift_mm, 3))
    shape, affine = _field_of_view(image, pose, scan)
    ratio = np.array(scan.spacing_mm) / nib.affines.voxel_sizes(image.affine)
    smooth = ndi.gaussian_filter(painted, np.sqrt(np.maximum(0.0, ratio**2 - 1)) / _FWHM_TO_SIGMA)
    to_labels = np.linalg.inv(pose @ image.affine) @ affine
    head = ndi.affine_transform(smooth, to_labels[:3, :3], to_labels[:3, 3], shape, order=1, prefilter=False)
    head = add_rician_noise(head * bias_field(shape, scan.bias_strength, rng), scan.noise, rng) * np.float32(scan.gain)
    stored = np.rint(np.clip(head, 0, 32767)).astype(np.int16) if scan.gain >= 50 else head.astype(np.float32)
    return _with_header(stored, affine), _with_header(labels, pose @ image.affine)


def _intensities(rng: np.random.Generator) -> NDArray[np.float32]:
    """Intensity by label, each a little off."""
    table = np.full(FIRST_OTHER_TISSUE + 100, SOFT_TISSUE)
    table[:FIRST_OTHER_TISSUE] = np.dot(OTHER_LABEL, CONTRAST)
    for label, fractions in TISSUE_OF_LABEL.items():
        table[label] = np.dot(fractions, CONTRAST)
    for label, intensity in OUTSIDE.items():
        table[label] = intensity
    table *= np.exp(rng.normal(0.0, 0.03, len(table)))
    table[0] = 0.0
    table[OUTER_CSF] = CONTRAST[0]
    painted: NDArray[np.float32] = table.astype(np.float32)
    return painted


def _field_of_view(
    image: nib.Nifti1Image, pose: NDArray[np.float64], scan: HeadScan
) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Shape and affine of a scan whose middle is the posed head's."""
    rotation = np.zeros((3, 3))
    for voxel_axis, (world_axis, sign) in enumerate(nib.orientations.axcodes2ornt(tuple(scan.axis_codes))):
        rotation[int(world_axis), voxel_axis] = sign
    spacing = np.abs(rotation.T) @ np.array(scan.spacing_mm)
    extent = np.abs(rotation.T) @ (np.array(image.shape) * nib.affines.voxel_sizes(image.affine))
    x, y, z = (int(size) for size in np.ceil(extent / spacing))
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing
    middle = nib.affines.apply_affine(pose @ image.affine, (np.array(image.shape) - 1) / 2)
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array((x, y, z)) - 1) / 2)
    return (x, y, z), affine


def _with_header(voxels: NDArray[np.generic], affine: NDArray[np.float64]) -> nib.Nifti1Image:
    image = nib.Nifti1Image(voxels, affine)
    image.header["descrip"] = b"simulated by fedtune3d"
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    return image
