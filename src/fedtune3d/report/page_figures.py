"""Figures in a page, as data URIs."""

import base64
from dataclasses import dataclass

from fedtune3d.report.figures.drawing import Drawing

PIXELS_PER_INCH = 96


@dataclass(frozen=True)
class PageFigure:
    """A figure in a page; `source` is its data URI, and `saved` whether its files are in the folder as well.

    `width` and `height` are in CSS pixels.
    """

    name: str
    title: str
    description: str
    source: str
    saved: bool
    width: int
    height: int


def as_figure(drawing: Drawing, saved: bool = True) -> PageFigure:
    """Prepare a figure for a page."""
    width, height = (round(PIXELS_PER_INCH * inches) for inches in drawing.figure.get_size_inches())
    source = data_uri(drawing.svg, "svg+xml")
    return PageFigure(drawing.name, drawing.title, drawing.description, source, saved, width, height)


def data_uri(content: bytes, kind: str) -> str:
    """Encode an image of a kind, such as ``png``, as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
