"""The terminal table of `weights list`."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from fedtune3d.models.releases import KnownWeights
from fedtune3d.report.number_formatting import size


def weights_table(known: Sequence[KnownWeights]) -> tuple[Table, list[str]]:
    """One row per encoder with released weights; also returns a line per file: source, licence, and where it is."""
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
        lines.append(f"{name}: {release.source}; {weights.spec.licence}{here}")
    return table, lines
