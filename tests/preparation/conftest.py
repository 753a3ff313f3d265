"""An analytic head of known intensities, sampled on any grid."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

BRAIN_CENTRE = np.array([4.0, -18.0, 12.0])
BRAIN_RADII = np.array([66.0, 82.0, 64.0])  # 1,451 mL


def brain_at(world: np.ndarray) -> np.ndarray:
    """Intensity at world positions (…, 3) in mm, RAS: no symmetry about any plane, 0 outside the brain."""
    x, y, z = np.moveaxis((world - BRAIN_CENTRE) / BRAIN_RADII, -1, 0)
    value = 500 + 120 * x + 80 * y - 60 * z + 90 * np.sin(4 * x + 1) * np.cos(3 * y) + 70 * np.sin(5 * z + 2 * x)
    return np.where(x**2 + y**2 + z**2 <= 1, value, 0.0)


def grid_positions(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    indices = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return indices @ affine[:3, :3].T + affine[:3, 3]


def brain_image(
    spacing: tuple[float, float, float] = (3.0, 3.0, 3.0), axes: str = "RAS", tilt: float = 0.0
) -> nibabel.Nifti1Image:
    """The brain with voxels of `spacing` mm along R, A, S, stored along `axes`, `tilt` radians about the x axis."""
    rotation = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    shape = tuple(int(np.ceil(2 * 92 / size)) for size in spacing)
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.array(spacing)
    affine[:3, 3] = BRAIN_CENTRE - affine[:3, :3] @ (np.array(shape) / 2)
    image = nibabel.Nifti1Image(brain_at(grid_positions(shape, affine)).astype(np.float32), affine)
    wanted = nibabel.orientations.axcodes2ornt(tuple(axes))
    return image.as_reoriented(nibabel.orientations.ornt_transform(nibabel.io_orientation(affine), wanted))


@pytest.fixture
def phantom() -> SimpleNamespace:
    return SimpleNamespace(intensity=brain_at, positions=grid_positions, image=brain_image)


@pytest.fixture
def save_brain(tmp_path: Path) -> Callable[..., Path]:
    """Write an image, by default the brain at 3 mm, under a name in the test's folder."""

    def save(name: str = "sub-01_T1w.nii.gz", image: nibabel.Nifti1Image | None = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(brain_image() if image is None else image, path)
        return path

    return save


@pytest.fixture(scope="session")
def dice() -> Callable[[np.ndarray, np.ndarray], float]:
    def overlap(first: np.ndarray, second: np.ndarray) -> float:
        return 2 * np.count_nonzero(first & second) / (np.count_nonzero(first) + np.count_nonzero(second))

    return overlap
