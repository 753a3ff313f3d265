from pathlib import Path

import matplotlib.image
import numpy as np

from fedtune3d.preparation.pictures import write_example


def picture_of(voxels: np.ndarray, path: Path) -> list[np.ndarray]:
    """The three planes, greys only, without their margins where the letters stand."""
    write_example(voxels, path)
    grey = matplotlib.image.imread(path)
    assert grey.shape == (150, 450)
    return [plane[15:-15, 15:-15] for plane in np.split(grey, 3, axis=1)]


def centre_of(plane: np.ndarray) -> tuple[float, float]:
    """Right and up of the middle, in [−1, 1], of what is bright."""
    rows, columns = np.nonzero(plane > 0.6)
    assert len(rows)
    return 2 * columns.mean() / plane.shape[1] - 1, 1 - 2 * rows.mean() / plane.shape[0]


def scan_with_a_spot(x: int, y: int, z: int) -> np.ndarray:
    voxels = np.zeros((128, 128, 128), dtype=np.float16)
    voxels[20:108, 20:108, 20:108] = -0.5
    voxels[x - 6 : x + 6, y - 6 : y + 6, z - 6 : z + 6] = 4
    return voxels


def test_directions_are_as_the_letters_say(tmp_path: Path) -> None:
    sagittal, _, _ = picture_of(scan_with_a_spot(64, 95, 80), tmp_path / "a.png")
    right, up = centre_of(sagittal)
    assert right > 0.3  # anterior is right
    assert 0.1 < up < right  # superior is up
    _, coronal, _ = picture_of(scan_with_a_spot(95, 64, 80), tmp_path / "b.png")
    right, up = centre_of(coronal)
    assert right > 0.3  # the person's right is right
    assert 0.1 < up < right
    _, _, axial = picture_of(scan_with_a_spot(95, 80, 64), tmp_path / "c.png")
    right, up = centre_of(axial)
    assert right > 0.3
    assert 0.1 < up < right  # anterior is up


def test_background_is_black_and_the_brain_is_not(tmp_path: Path) -> None:
    planes = picture_of(scan_with_a_spot(64, 64, 64), tmp_path / "a.png")
    for plane in planes:
        assert plane[2, 2] == 0
        assert plane[60, 20] > 0.05


def test_a_picture_is_small_and_an_empty_scan_is_no_error(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(128, 128, 128)).astype(np.float16)
    write_example(noise, tmp_path / "noise.png")
    assert (tmp_path / "noise.png").stat().st_size < 70_000
    write_example(np.zeros((128, 128, 128), dtype=np.float16), tmp_path / "empty.png")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["empty.png", "noise.png"]
