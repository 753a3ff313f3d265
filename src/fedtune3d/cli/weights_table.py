"""The terminal table of `weights list`."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from fedtune3d.models.releases import KnownWeights
from fedtune3d.report.number_formatting import size


def weights_table(known: Sequence[KnownWeights]) -> Table:
    """One row per encoder with released weights."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("Encoder", "File", "Licence"):
        table.add_column(name)
    table.add_column("Size", justify="right")
    for name in ("Source", "Tested with the authors' file", "Here"):
        table.add_column(name, overflow="fold")
    for weights in known:
        release = weights.release
        table.add_row(
            weights.spec.name,
            release.file,
            weights.spec.licence,
            size(release.size_bytes),
            release.source,
            "yes" if release.loaded else "no, only files of its format",
            "–" if weights.path is None else str(weights.path),
        )
    return table
