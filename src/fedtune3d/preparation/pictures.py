"""Pictures of a prepared scan, drawn at its site."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image  # matplotlib needs it, so it is there

from fedtune3d._utils.files import atomic_path
from fedtune3d.preparation.arrays import Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLANES = (
    # title, axis of the cut, letters at left, right, bottom, top
    ("sagittal", 0, "PAIS"),
    ("coronal", 1, "LRIS"),
    ("axial", 2, "LRPA"),
)


def write_example(voxels: Volume | NDArray[np.float16], path: Path) -> None:
    """Write the three middle slices of a scan as one small PNG, labelled with directions.

    The person's left is on the left of the picture (neurological convention). The grey scale spans the 1st to 99th
    percentile of the non-zero voxels; 0, the background of a prepared scan, is black.

    Args:
        voxels: (x, y, z) in RAS order, for example (128, 128, 128) float16.
        path: The PNG, written atomically.
    """
    from matplotlib.figure import Figure

    values = np.asarray(voxels, dtype=np.float32)
    figure = Figure(figsize=(4.5, 1.5), dpi=100, facecolor="black")
    for column, (_, axis, letters) in enumerate(PLANES):
        axes = figure.add_axes((column / 3, 0, 1 / 3, 1))
        axes.imshow(_slice(values, axis), cmap="gray", vmin=0, vmax=1, origin="lower", interpolation="bilinear")
        axes.set_axis_off()
        write_letters(axes, letters)
    with atomic_path(path) as partial:
        _render_grey(figure).save(partial, format="png", optimize=True)


def _render_grey(figure: "Figure") -> Image.Image:
    """Render with one byte per pixel, a third of the size in colour."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., 0])


def _slice(values: Volume, axis: int) -> Volume:
    """Return the middle slice (rows, columns) in [0, 1]; the first remaining axis points right, the second up."""
    inside = values[values != 0]
    low, high = np.percentile(inside, (1, 99)) if inside.size else (0.0, 1.0)
    cut = np.take(values, values.shape[axis] // 2, axis=axis).T
    # The brain's darkest grey is 0.08, to distinguish it from the black background.
    grey = 0.08 + 0.92 * np.clip((cut - low) / max(high - low, 1e-6), 0, 1)
    return np.where(cut == 0, 0.0, grey)


def write_letters(axes: "Axes", letters: str) -> None:
    """Label the left, right, bottom and top of a picture with letters such as ``"LRIS"``."""
    places = ((0.04, 0.5), (0.96, 0.5), (0.5, 0.05), (0.5, 0.95))
    for letter, (x, y) in zip(letters, places, strict=True):
        axes.text(x, y, letter, transform=axes.transAxes, color="white", fontsize=8, ha="center", va="center")
