"""Saliency maps drawn over their scan."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.image import AxesImage

from fedtune3d._utils.files import atomic_path
from fedtune3d.preparation.pictures import PLANES, write_letters
from fedtune3d.report.figures.drawing import new_figure, write_png

Colours = tuple[Normalize, str]
_DIM = 1.4  # stretches the scan's grey scale, so that white matter stays darker than a map's faint colours
_LINE = 96  # letters of a line below the figure
_FAINT = 0.1  # share of the map's largest value below which only the scan is drawn


def draw_saliency(
    scan: np.ndarray,
    maps: Mapping[str, np.ndarray],
    title: str,
    notes: Sequence[str],
    path: Path,
    towards: str = "the positive class",
) -> None:
    """Write a PNG with one row per map: three planes through its largest absolute value.

    Args:
        scan: A prepared scan, (s, s, s) in RAS order, 0 outside the brain.
        maps: Name → map of the scan's shape; positive values favour the positive class.
        title: Title of the figure.
        notes: Sentences below the figure, which are wrapped to its width.
        path: The PNG file, written atomically.
        towards: The class that positive values favour.
    """
    lines = [line for note in notes for line in textwrap.wrap(note, _LINE)]
    figure = new_figure(8.0, 2.75 * len(maps) + 0.3 + 0.17 * len(lines))
    rows = figure.subplots(len(maps), len(PLANES), squeeze=False)
    for axes, (name, values) in zip(rows, maps.items(), strict=True):
        place = np.unravel_index(int(np.abs(values).argmax()), values.shape)
        for column, (plane, axis, letters) in zip(axes, PLANES, strict=True):
            drawn = draw_plane(column, scan, values, axis, int(place[axis]), colours_of(values))
            column.set_title(f"{name}, {plane}", fontsize=9)
            write_letters(column, letters)
        bar = figure.colorbar(drawn, ax=list(axes), shrink=0.85)
        bar.set_label(f"towards {towards}\n(difference of logits)", fontsize=8)
        bar.ax.ticklabel_format(axis="y", scilimits=(-2, 3))
        bar.ax.tick_params(labelsize=8)
    figure.suptitle(title, fontsize=10)
    figure.supxlabel("\n".join(lines), fontsize=9)
    with atomic_path(path) as partial:
        write_png(figure, partial, dpi=150)


def colours_of(values: np.ndarray) -> Colours:
    """Return a colour scale: from 0 for non-negative maps, else symmetric around 0."""
    largest = float(np.abs(values).max()) or 1.0
    return (TwoSlopeNorm(0, -largest, largest), "PuOr_r") if values.min() < 0 else (Normalize(0, largest), "inferno")


def draw_plane(axes: Axes, scan: np.ndarray, values: np.ndarray, axis: int, place: int, colours: Colours) -> AxesImage:
    """Draw a slice of a scan and of a map over it, leaving out faint values; return the map's image."""
    grey, cut = np.take(scan, place, axis=axis).T, np.take(values, place, axis=axis).T
    low, high = np.percentile(scan[scan != 0], (1, 99))
    shown = np.where(grey == 0, low, grey)
    dim = low + _DIM * (high - low)
    axes.imshow(shown, cmap="gray", vmin=low, vmax=dim, origin="lower", interpolation="bilinear")
    norm, name = colours
    visible = np.ma.masked_where(np.abs(cut) < _FAINT * (norm.vmax or 1.0), cut)
    drawn = axes.imshow(visible, cmap=name, norm=norm, alpha=0.7, origin="lower", interpolation="none")
    axes.set_xticks([])
    axes.set_yticks([])
    return drawn
