"""Simulation of a scan from a person's tissue: sampling, contrast, bias field, slices and noise."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
import scipy.ndimage as ndi
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.simulation.anatomy import CSF, GREY, THINNABLE, VELOCITY_SPACING_MM, WHITE, Anatomy
from fedtune3d.simulation.deformation import affine_points, exponentiate, random_velocity, sample
from fedtune3d.simulation.people import Person
from fedtune3d.simulation.site_effects import SiteEffect

# (smoothness in mm, amplitude in mm) of the deformations of the template for a new person, and of the smaller ones of a
# real anatomy, which must remain the same person.
SHAPE_OF_PERSON = ((25.0, 2.2), (7.0, 1.0))
SHAPE_OF_REPEAT = ((20.0, 1.0), (7.0, 0.4))
FINEST_STEP_MM = 1.6
HEAD_TURN_DEGREES = 2.0
HEAD_SHIFT_MM = 4.0
TEXTURE = 0.035
MOVES = 3


@dataclass(frozen=True)
class Scan:
    """A brain-extracted scan: float32 voxels, zero outside the brain, and their affine (voxel → mm)."""

    voxels: NDArray[np.float32]
    affine: NDArray[np.float64]


def make_scan(anatomy: Anatomy, person: Person, site: SiteEffect, seed: int, site_name: str, participant: str) -> Scan:
    """Simulate the scan of a person at a site; bit-identical for the same (seed, site, participant)."""
    rng = numpy_rng(seed, site_name, participant, "scan")
    return scan_person(anatomy, person, person_displacement(anatomy, person, rng), site, rng)


def scan_person(
    anatomy: Anatomy, person: Person, displacement: NDArray[np.float32], site: SiteEffect, rng: np.random.Generator
) -> Scan:
    """Simulate one session of a person with shape `displacement` (`person_displacement`): pose, contrast and noise."""
    to_grid, shape, affine, slabs = field_of_view(anatomy, person, site, rng)
    tissues = sample_tissues(anatomy, displacement, to_grid, shape)
    tissues = thin_cortex(tissues, person.thinning)
    painted = paint(tissues, site, rng)
    painted *= bias_field(shape, site.bias_strength, rng)
    inside = tissues[CSF] + tissues[GREY] + tissues[WHITE]
    thick = average_slabs(np.stack([painted, inside]), site.slice_axis, slabs)
    if site.motion_mm:
        thick[0] = move_head(thick[0], affine, site.motion_mm, rng)
    noisy = add_rician_noise(thick[0], site.noise, rng)
    return Scan(np.where(thick[1] > 0.5, noisy * np.float32(site.white_level), np.float32(0.0)), affine)


def person_displacement(anatomy: Anatomy, person: Person, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the displacement (3, X', Y', Z') in mm from person to anatomy space, on the anatomy's 3 mm grid."""
    scales = SHAPE_OF_REPEAT if anatomy.atrophy is None else SHAPE_OF_PERSON
    velocity = random_velocity(anatomy.velocity_shape, VELOCITY_SPACING_MM, scales, rng)
    if anatomy.atrophy is not None:
        # The inverse of a flow is the flow of the negated velocity; it maps each voxel to the origin of its tissue.
        velocity -= np.float32(person.ventricle_shift_mm) * anatomy.atrophy[0]
        velocity -= np.float32(person.hippocampus_shift_mm) * anatomy.atrophy[1]
    return exponentiate(velocity, VELOCITY_SPACING_MM)


def field_of_view(
    anatomy: Anatomy, person: Person, site: SiteEffect, rng: np.random.Generator
) -> tuple[NDArray[np.float64], tuple[int, int, int], NDArray[np.float64], int]:
    """Return the scan's grid, with the head slightly rotated and shifted in the scanner.

    Returns:
        The affine from fine voxels to the anatomy's space in mm (before the displacement), the fine grid's shape, the
        affine of the finished scan (voxel → mm), and the number of fine voxels per slice.
    """
    slabs = max(1, int(np.ceil(site.slice_mm / FINEST_STEP_MM)))
    spacing = np.full(3, site.voxel_mm)
    spacing[site.slice_axis] = site.slice_mm / slabs
    pose = rigid(np.radians(rng.normal(0.0, HEAD_TURN_DEGREES, 3)), rng.normal(0.0, HEAD_SHIFT_MM, 3))
    to_scanner = pose @ np.diag([*person.brain_scale, 1.0])
    size_mm = np.array(anatomy.tissues.shape[1:]) * anatomy.affine[0, 0]
    centre = anatomy.affine[:3, 3] + (size_mm - anatomy.affine[0, 0]) / 2
    axes = nib.orientations.axcodes2ornt(tuple(site.axis_codes))
    rotation = np.zeros((3, 3))
    for voxel_axis, (world_axis, sign) in enumerate(axes):
        rotation[int(world_axis), voxel_axis] = sign
    extent = np.abs(rotation.T) @ (size_mm * np.array(person.brain_scale))
    shape = np.ceil(extent / spacing).astype(int)
    shape[site.slice_axis] += -shape[site.slice_axis] % slabs
    fine = np.eye(4)
    fine[:3, :3] = rotation * spacing
    fine[:3, 3] = to_scanner[:3] @ [*centre, 1.0] - fine[:3, :3] @ ((shape - 1) / 2)
    thick = fine.copy()
    thick[:3, site.slice_axis] *= slabs
    thick[:3, 3] += fine[:3, site.slice_axis] * (slabs - 1) / 2
    x, y, z = (int(n) for n in shape)
    return np.linalg.inv(to_scanner) @ fine, (x, y, z), thick, slabs


def rigid(angles: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (4, 4) matrix that rotates about x, y and z by `angles` in radians, then translates."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", angles).as_matrix()
    pose[:3, 3] = shift
    return pose


def sample_tissues(
    anatomy: Anatomy,
    displacement: NDArray[np.float32],
    to_anatomy: NDArray[np.float64],
    shape: tuple[int, int, int],
) -> NDArray[np.float32]:
    """Sample the anatomy's four tissue maps (4, X, Y, Z) on the scan's fine grid, through the person's displacement."""
    points = affine_points(np.linalg.inv(anatomy.affine) @ to_anatomy, shape)
    spacing = float(anatomy.affine[0, 0])
    moved = points + sample(torch.from_numpy(displacement), points * (spacing / VELOCITY_SPACING_MM)) / spacing
    maps = torch.from_numpy(anatomy.tissues.astype(np.float32)) / 255
    return sample(maps, moved, outside="zeros").numpy()


def thin_cortex(tissues: NDArray[np.float32], thinning: float) -> NDArray[np.float32]:
    """Return the tissue maps with a share of the thinnable grey matter replaced by fluid."""
    lost = np.float32(thinning) * tissues[THINNABLE]
    return np.stack([tissues[CSF] + lost, tissues[GREY] - lost, tissues[WHITE], tissues[THINNABLE] - lost])


def paint(tissues: NDArray[np.float32], site: SiteEffect, rng: np.random.Generator) -> NDArray[np.float32]:
    """Compute intensities relative to white matter: the site's contrast, a person's small deviations, and a texture."""
    grey, fluid = np.array([site.grey_contrast, site.fluid_contrast]) * np.exp(rng.normal(0.0, 0.03, 2))
    painted = np.float32(fluid) * tissues[CSF] + np.float32(grey) * tissues[GREY] + tissues[WHITE]
    texture = ndi.gaussian_filter(rng.standard_normal(painted.shape, dtype=np.float32), 1.0, truncate=2.5)
    textured: NDArray[np.float32] = painted * (1.0 + np.float32(TEXTURE) / texture.std() * texture)
    return textured


def bias_field(shape: tuple[int, int, int], strength: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a smooth positive field, an exponential of a random quadratic polynomial of given standard deviation."""
    coefficients = rng.standard_normal((3, 3, 3)) * (np.indices((3, 3, 3)).sum(axis=0) <= 2)
    x, y, z = (np.linspace(-1.0, 1.0, n, dtype=np.float32) for n in shape)
    logarithm = np.polynomial.legendre.leggrid3d(x, y, z, coefficients.astype(np.float32)).astype(np.float32)
    logarithm -= logarithm.mean()
    field: NDArray[np.float32] = np.exp(logarithm * np.float32(strength / logarithm.std()))
    return field


def average_slabs(maps: NDArray[np.float32], axis: int, slabs: int) -> NDArray[np.float32]:
    """Average groups of `slabs` neighbouring voxels of maps (C, X, Y, Z) along spatial axis `axis`."""
    if slabs == 1:
        return maps
    shape = list(maps.shape)
    shape[axis + 1 : axis + 2] = [shape[axis + 1] // slabs, slabs]
    averaged: NDArray[np.float32] = maps.reshape(shape).mean(axis=axis + 2)
    return averaged


def move_head(
    image: NDArray[np.float32], affine: NDArray[np.float64], motion_mm: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Simulate a head that moves three times during the scan: parts of k-space come from moved copies (TorchIO).

    References:
        Shaw et al., MIDL 2019 (the model behind `torchio.Motion`).
    """
    import torchio

    times = np.sort(rng.uniform(0.1, 0.9, MOVES))
    degrees, shifts = rng.normal(0.0, motion_mm, (2, MOVES, 3))
    spacing = np.diag([*nib.affines.voxel_sizes(affine), 1.0])
    scan = torchio.ScalarImage(tensor=torch.from_numpy(image)[None], affine=spacing)
    moved = torchio.Motion(degrees=degrees, translation=shifts, times=times, image_interpolation="linear")(scan)
    magnitude: np.ndarray = np.abs(moved.data[0].numpy()).astype(np.float32)
    return magnitude


def add_rician_noise(image: NDArray[np.float32], noise: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Add complex Gaussian noise of standard deviation `noise` per channel and return the magnitude.

    References:
        Gudbjartsson and Patz, Magnetic Resonance in Medicine 1995, equation 1.
    """
    real = image + np.float32(noise) * rng.standard_normal(image.shape, dtype=np.float32)
    imaginary = np.float32(noise) * rng.standard_normal(image.shape, dtype=np.float32)
    magnitude: np.ndarray = np.hypot(real, imaginary)
    return magnitude
