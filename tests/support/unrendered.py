"""Reports whose figures are laid out from their data, but not rendered: for tests that read numbers and sentences.

Rendering takes most of the time of a report. Tests of the figures, and of the page as a file, use the real one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedtune3d._utils.files import write_text
from fedtune3d.report.figures.drawing import Drawing, tab_separated

EMPTY = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


@contextmanager
def unrendered_figures() -> Iterator[None]:
    """Figures without ink, whose files are their data alone."""

    def save(self: Drawing, folder: Path) -> None:
        write_text(folder / f"{self.name}.tsv", tab_separated(self.rows))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Drawing, "svg", EMPTY)
        patch.setattr(Drawing, "save", save)
        yield
