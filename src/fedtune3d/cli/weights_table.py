"""The terminal table of `weights list`."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fedtune3d.models.releases import KnownWeights
from fedtune3d.report.number_formatting import size


def weights_table(known: Sequence[KnownWeights]) -> RenderableType:
    """One row per encoder with released weights; below, where each file comes from, its licence, and where it is."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("Encoder", "File"):
        table.add_column(name, overflow="fold")
    table.add_column("Size", justify="right")
    for name in ("Tested with the authors' file", "Here"):
        table.add_column(name)
    lines = []
    for weights in known:
        name, release = weights.spec.name, weights.release
        tested = "yes" if release.loaded else "no, only its format"
        table.add_row(name, release.file, size(release.size_bytes), tested, "–" if weights.path is None else "yes")
        here = "" if weights.path is None else f"; here: {weights.path}"
        lines.append(Text(f"{name}: {release.source}; {weights.spec.licence}{here}", overflow="fold"))
    return Group(table, *lines)
