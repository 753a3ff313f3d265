"""Pictures of a prepared scan, drawn at its site."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fedtune3d._utils.files import atomic_path
from fedtune3d.preparation.arrays import Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLANES = (
    # title, axis of the cut, letters at left, right, bottom, top
    ("sagittal", 0, "PAIS"),
    ("coronal", 1, "LRIS"),
    ("axial", 2, "LRPA"),
)
LETTERS_AT = ((0.04, 0.5), (0.96, 0.5), (0.5, 0.05), (0.5, 0.95))
"""Left, right, bottom and top, as parts of the width and of the height from below."""
SIDE = 150
"""Pixels of a slice's square."""


def write_example(voxels: Volume | NDArray[np.float16], path: Path) -> None:
    """Write the three middle slices of a scan as one small PNG, labelled with directions.

    The person's left is on the left of the picture (neurological convention). The grey scale spans the 1st to 99th
    percentile of the non-zero voxels; 0, the background of a prepared scan, is black.

    Args:
        voxels: (x, y, z) in RAS order, for example (128, 128, 128) float16.
        path: The PNG, written atomically.
    """
    values = np.asarray(voxels, dtype=np.float32)
    picture = Image.new("L", (len(PLANES) * SIDE, SIDE))
    for column, (_, axis, letters) in enumerate(PLANES):
        picture.paste(_square(_slice(values, axis), letters), (column * SIDE, 0))
    with atomic_path(path) as partial:
        picture.save(partial, format="png", optimize=True)


def _square(grey: Volume, letters: str) -> Image.Image:
    """Draw a slice, its first row lowest, as large as fits, with the letters of its directions."""
    pixels = Image.fromarray((grey[::-1] * 255 + 0.5).astype(np.uint8))
    scale = SIDE / max(pixels.size)
    width, height = (max(1, round(length * scale)) for length in pixels.size)
    square = Image.new("L", (SIDE, SIDE))
    square.paste(pixels.resize((width, height), Image.Resampling.BILINEAR), ((SIDE - width) // 2, (SIDE - height) // 2))
    draw, font = ImageDraw.Draw(square), ImageFont.load_default(size=11)
    for letter, (x, y) in zip(letters, LETTERS_AT, strict=True):
        draw.text((x * SIDE, (1 - y) * SIDE), letter, fill=255, font=font, anchor="mm")
    return square


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
    for letter, (x, y) in zip(letters, LETTERS_AT, strict=True):
        axes.text(x, y, letter, transform=axes.transAxes, color="white", fontsize=8, ha="center", va="center")
