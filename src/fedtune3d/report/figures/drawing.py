"""Saving of figures, and the colours and marks that they share, chosen for colour-blind readers."""

import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.typing import LineStyleType

from fedtune3d._utils.files import atomic_path, write_text
from fedtune3d._utils.foreign_text import table_cell

BLACK = "#000000"
GREY = "#767676"
SOFT = "#55606e"
NOTE = "#8a5a00"
BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"
"""The palette of Okabe and Ito, 2008 (jfly.uni-koeln.de/color), without its yellow, which is too faint on white."""


_DRAWING = threading.Lock()
"""Guards Matplotlib's settings, which are global, as the pages of a watched run are drawn in other threads."""

_PNG_DPI = 200

Entry = TypeVar("Entry")
Cell: TypeAlias = str | float | bool | None
"""A value in the data of a figure."""


class Mark(NamedTuple):
    """Colour, marker and line style of a method or a site, so that colour is never the only difference."""

    colour: str
    marker: str
    line: LineStyleType = "-"


METHOD_MARKS = {
    "federated": Mark(BLUE, "o"),
    "local": Mark(VERMILION, "s"),
    "centralized": Mark(GREEN, "^"),
    "leave_one_site_out": Mark(PURPLE, "D"),
}
_SITE_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY)
_SITE_MARKERS = "os^Dv"
_SITE_LINES: tuple[LineStyleType, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))


def site_marks(sites: Sequence[str]) -> dict[str, Mark]:
    """Return the mark of each site, the same in every figure; marks repeat after 60 sites."""
    return {
        site: Mark(
            _SITE_COLOURS[index % len(_SITE_COLOURS)],
            _SITE_MARKERS[index % len(_SITE_MARKERS)],
            _SITE_LINES[index % len(_SITE_LINES)],
        )
        for index, site in enumerate(sites)
    }


@dataclass(frozen=True)
class Drawing:
    """A figure with the name of its files, its description (alternative text) and its data."""

    name: str
    title: str
    description: str
    figure: Figure
    rows: Sequence[Mapping[str, Cell]]

    def note(self, text: str) -> None:
        """Write a line above the figure, which stays with it when it is copied; does nothing if `text` is empty."""
        if text:
            self.figure.suptitle(text, x=0.995, ha="right", fontsize=8, color=NOTE)

    @cached_property
    def svg(self) -> bytes:
        """The figure as SVG; equal drawings give equal bytes. The figure must not be changed afterwards."""
        buffer = io.BytesIO()
        with self._settings():  # not with savefig, which draws everything twice (see `write_png`)
            FigureCanvasSVG(self.figure).print_svg(buffer, metadata={"Date": None, "Title": self.title})
        self.figure.set_layout_engine("none")  # fix the layout, so that the PNG shows the same picture
        return buffer.getvalue()

    def save(self, folder: Path) -> None:
        """Write `<name>.svg`, `.png` and `.tsv`."""
        with atomic_path(folder / f"{self.name}.svg") as partial:
            partial.write_bytes(self.svg)  # first, as it fixes the layout
        with atomic_path(folder / f"{self.name}.png") as partial, self._settings():
            write_png(self.figure, partial, _PNG_DPI)
        write_text(folder / f"{self.name}.tsv", tab_separated(self.rows))

    @contextmanager
    def _settings(self) -> Iterator[None]:
        # Text as paths, so that it looks the same without the font.
        with _DRAWING, matplotlib.rc_context({"svg.hashsalt": self.name, "svg.fonttype": "path"}):
            yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of the given size in inches, with constrained layout."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def row_wise(entries: Sequence[Entry], columns: int) -> list[Entry]:
    """Sort entries so that a legend, which Matplotlib fills column by column, is read row by row."""
    return [entry for column in range(columns) for entry in entries[column::columns]]


def write_png(figure: Figure, path: Path, dpi: int) -> None:
    """Draw a figure once and write it; `Figure.savefig` draws it before that, to find out how the format draws."""
    figure.set_dpi(dpi)
    FigureCanvasAgg(figure).print_png(path)


def tab_separated(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Format rows as tab-separated text with the columns of the first row; None becomes an empty cell."""
    header = list(rows[0]) if rows else []
    lines = [["" if row[column] is None else table_cell(str(row[column])) for column in header] for row in rows]
    return "".join("\t".join(line) + "\n" for line in [header, *lines])
