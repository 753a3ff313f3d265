"""Smooth deformations that neither tear nor fold: exponentials of stationary velocity fields.

References:
    Arsigny et al., MICCAI 2006 (scaling and squaring); Ashburner, NeuroImage 2007.
"""

import numpy as np
import scipy.ndimage as ndi
import torch
from numpy.typing import NDArray

SQUARINGS = 6


def random_velocity(
    shape: tuple[int, int, int], spacing_mm: float, scales: tuple[tuple[float, float], ...], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw a smooth random velocity field (3, X, Y, Z) in mm.

    Args:
        shape: The grid's shape.
        spacing_mm: Its spacing.
        scales: Pairs of (smoothness, the Gaussian's σ in mm; root-mean-square amplitude per axis in mm), which add up.
        rng: Random generator, used in the order of the scales.
    """
    velocity = np.zeros((3, *shape), np.float32)
    for sigma_mm, amplitude_mm in scales:
        sigma = sigma_mm / spacing_mm
        unit = (2.0 * np.sqrt(np.pi) * sigma) ** 1.5  # restores the variance that filtering removes from white noise
        for axis in range(3):
            noise = rng.standard_normal(shape, dtype=np.float32)
            velocity[axis] += ndi.gaussian_filter(noise, sigma, mode="wrap", truncate=3.0) * np.float32(
                unit * amplitude_mm
            )
    return velocity


def exponentiate(velocity: NDArray[np.float32], spacing_mm: float) -> NDArray[np.float32]:
    """Return the displacement (3, X, Y, Z) in mm of a velocity field after unit time, by scaling and squaring.

    Outside the grid, the field is extrapolated with the values at its border.
    """
    displacement = torch.from_numpy(velocity / np.float32(spacing_mm * 2**SQUARINGS))
    x, y, z = (torch.arange(n, dtype=torch.float32) for n in velocity.shape[1:])
    identity = torch.stack(torch.meshgrid(x, y, z, indexing="ij"))
    for _ in range(SQUARINGS):
        displacement = displacement + sample(displacement, identity + displacement)
    return (displacement * spacing_mm).numpy()


def sample(maps: torch.Tensor, points: torch.Tensor, outside: str = "border") -> torch.Tensor:
    """Sample maps (C, X, Y, Z) trilinearly at points (3, …) in voxels → (C, …); `outside` is "border" or "zeros"."""
    size = torch.tensor(maps.shape[1:], dtype=torch.float32).reshape(3, *[1] * (points.ndim - 1))
    scaled = (points * (2.0 / (size - 1)) - 1).flip(0).movedim(0, -1)
    sampled = torch.nn.functional.grid_sample(
        maps[None], scaled[None], mode="bilinear", padding_mode=outside, align_corners=True
    )
    return sampled[0]


def affine_points(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> torch.Tensor:
    """Return the points (3, X, Y, Z), float32, to which an affine maps the voxels of a grid."""
    axes = [torch.arange(n, dtype=torch.float32) for n in shape]
    x, y, z = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    return torch.stack(
        [float(row[0]) * x + float(row[1]) * y + float(row[2]) * z + float(row[3]) for row in affine[:3]]
    )
