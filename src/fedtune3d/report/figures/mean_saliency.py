"""Each site's mean saliency map over MNI152, next to that of a model with randomised weights."""

from collections.abc import Mapping
from pathlib import Path

import nibabel
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from scipy import ndimage

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d.federation.mean_maps import MapInfo
from fedtune3d.preparation.grid import extents
from fedtune3d.preparation.pictures import PLANES, write_letters
from fedtune3d.preparation.template import Template, load_template
from fedtune3d.report.figures.drawing import Cell, Drawing, new_figure
from fedtune3d.report.figures.saliency import colours_of, draw_plane

STATES = {"trained": "Final model", "random": "Trained weights randomised"}
METHODS = {
    "gradcam": ("Grad-CAM", "Grad-CAM (arbitrary units)"),
    "occlusion": ("occlusion", "Drop of the score when hidden (difference of logits)"),
    "integrated_gradients": ("integrated gradients", "Contribution to the score (difference of logits)"),
}
MOST_SITES = 12
_LONGEST_NAME = 20
_LEFT, _PANEL, _BETWEEN, _TOP, _BOTTOM = 0.6, 1.3, 0.25, 0.95, 0.65  # inches
_MARGIN = 7

Maps = Mapping[str, Mapping[str, np.ndarray]]


def draw_mean_saliency(infos: Mapping[str, MapInfo], folder: RunFolder) -> Drawing | None:
    """Draw one row per site: three planes through the point where the sites' maps are jointly largest.

    Args:
        infos: Site → the numbers of its maps.
        folder: The run folder, which holds the maps.

    Returns:
        None if no site has a map.
    """
    shown = {site: info for site, info in infos.items() if info.why is None}
    if not shown:
        return None
    info = next(iter(shown.values()))
    maps = {site: {state: _read(folder.saliency_map(site, state), info.size) for state in STATES} for site in shown}
    method, unit = METHODS[info.method]
    template = load_template(info.size, info.spacing_mm)
    rows = dict(list(shown.items())[:MOST_SITES])
    place = _largest(maps, template)
    width, height = _LEFT + 2 * 3 * _PANEL + _BETWEEN + 0.1, _TOP + len(rows) * _PANEL + _BOTTOM
    figure = new_figure(width, height)
    figure.set_layout_engine("none")  # fixed: the solver's last digits differ from call to call, and with them the SVG
    for number, (state, title) in enumerate(STATES.items()):
        left = (_LEFT + number * (3 * _PANEL + _BETWEEN)) / width
        right, bottom, top = left + 3 * _PANEL / width, _BOTTOM / height, 1 - _TOP / height
        figure.text((left + right) / 2, 1 - 0.42 / height, title, fontsize=9, ha="center", va="center")
        edges = {"left": left, "right": right, "bottom": bottom, "top": top, "wspace": 0.05, "hspace": 0.05}
        grid = figure.add_gridspec(len(rows), 3, **edges).subplots(squeeze=False)
        drawn = _draw_state(grid, {site: maps[site][state] for site in rows}, place, template)
        _draw_bar(figure, drawn, (left + 0.3 / width, 0.5 / height, (3 * _PANEL - 0.6) / width, 0.1 / height), unit)
        if number == 0:
            for axes, (site, numbers) in zip(grid[:, 0], rows.items(), strict=True):
                name = site if len(site) <= _LONGEST_NAME else f"{site[: _LONGEST_NAME - 1]}…"
                axes.set_ylabel(f"{name}\n{numbers.scans} people", fontsize=8)
    left_out = f"; the first {MOST_SITES} of {len(shown)} sites" if len(shown) > MOST_SITES else ""
    return Drawing(
        name="mean_saliency",
        title=f"Mean saliency map per site over MNI152 ({method} at a resolution of {info.place_mm:g} mm"
        f"{left_out}). The maps are in saliency/ as NIfTI",
        description=f"For each site three slices through the MNI152 template under the mean {method} map of the final "
        "model, and the same under that of a model whose trained weights were randomised; the table below has "
        "their correlation.",
        figure=figure,
        rows=_rows(shown),
    )


def _read(path: Path, size: int) -> np.ndarray:
    """Read a map and upsample it to the voxels of the prepared grid, (size, size, size)."""
    try:
        coarse = np.asarray(nibabel.Nifti1Image.from_filename(path).dataobj, np.float32)
    except (OSError, nibabel.filebasedimages.ImageFileError) as error:
        raise InputError(f"{path}: expected a mean map; {error}; run again with --resume") from error
    return np.kron(coarse, np.ones((size // coarse.shape[0],) * 3, np.float32))


def _largest(maps: Maps, template: Template) -> tuple[int, int, int]:
    """Return the centre of the 16-voxel cube with the largest sum of the trained maps, each scaled to 1."""
    trained = [np.abs(states["trained"]) for states in maps.values()]
    total = sum(values / (values.max() or 1) for values in trained)
    weight = ndimage.uniform_filter((total * template.brain).astype(np.float32), 16)
    x, y, z = (int(index) for index in np.unravel_index(int(weight.argmax()), weight.shape))
    return x, y, z


def _draw_state(
    grid: np.ndarray, maps: Mapping[str, np.ndarray], place: tuple[int, int, int], template: Template
) -> AxesImage:
    """Draw the maps of one state, one row per site, all on one scale; return one of the images."""
    middles = [(first + last) // 2 for first, last in extents(template.brain)]
    reach = max(last - first for first, last in extents(template.brain)) // 2 + _MARGIN
    x, y, z = (slice(max(0, middle - reach), middle + reach) for middle in middles)
    colours = colours_of(np.stack([values * template.brain for values in maps.values()]))
    millimetres = template.affine @ [*place, 1]
    for number, (row, values) in enumerate(zip(grid, maps.values(), strict=True)):
        for axes, (plane, axis, letters) in zip(row, PLANES, strict=True):
            inside, index = (values * template.brain)[x, y, z], place[axis] - (x, y, z)[axis].start
            drawn = draw_plane(axes, template.voxels[x, y, z], inside, axis, index, colours)
            if number == 0:
                _title(axes, plane, "xyz"[axis], float(millimetres[axis]), letters)
    return drawn


def _draw_bar(figure: Figure, drawn: AxesImage, box: tuple[float, float, float, float], label: str) -> None:
    bar = figure.colorbar(drawn, cax=figure.add_axes(box), orientation="horizontal")
    bar.set_label(label, fontsize=8)
    bar.ax.ticklabel_format(axis="x", scilimits=(-2, 3))
    bar.ax.xaxis.get_offset_text().set_fontsize(7)
    bar.ax.tick_params(labelsize=7)
    bar.ax.locator_params(nbins=5)


def _title(axes: Axes, plane: str, axis: str, millimetres: float, letters: str) -> None:
    axes.set_title(f"{plane}\n{axis} = {millimetres:.0f} mm".replace("-", "−"), fontsize=8)
    write_letters(axes, letters)


def _rows(shown: Mapping[str, MapInfo]) -> list[dict[str, Cell]]:
    """Return the figure's data: one row per site, or one per site and region."""
    rows = []
    for site, info in shown.items():
        for region in info.volumes or [None]:
            row: dict[str, Cell] = {
                "site": site,
                "method": info.method,
                "place_mm": info.place_mm,
                "scans": info.scans,
                "in_template": info.in_template,
                "similarity": info.similarity,
                "region": region,
                "volume": None if region is None else info.volumes[region],
            }
            for state in STATES:
                mean, deviation = (None, None) if region is None else info.shares[state].get(region, (None, None))
                row |= {f"share_{state}": mean, f"share_{state}_sd": deviation}
            rows.append(row)
    return rows
