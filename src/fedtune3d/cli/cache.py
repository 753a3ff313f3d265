"""Commands of `fedtune3d cache`."""

from pathlib import Path
from typing import Annotated

import typer

from fedtune3d.cli.shared import out, progress_bars

commands = typer.Typer(no_args_is_help=True, help="What is kept on disk so that no scan is prepared or encoded twice.")

CacheFolder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="The experiment file, or the cache folder that it names (`cache`).")
]


@commands.command("list")
def list_parts(folder: CacheFolder) -> None:
    """Show per site how much is kept, and when it was last used."""
    from fedtune3d.cli.cache_table import cache_table
    from fedtune3d.workflows.cache import open_cache

    table, damaged = cache_table(open_cache(folder))
    out.print(table)
    for path in damaged:
        out.print(f"damaged: {path}", soft_wrap=True)


@commands.command("check")
def check(folder: CacheFolder) -> None:
    """Read everything that is kept and name what is damaged. A run makes it anew by itself."""
    from fedtune3d.workflows.cache import open_cache

    found: dict[Path, str] = {}
    with progress_bars() as bars:
        for part in open_cache(folder):
            with bars.bar(f"{part.site}: checking {part.kind}") as advance:
                found |= part.entries.check(advance)
    for fault in found.values():
        out.print(f"damaged: {fault}", soft_wrap=True)
    out.print(f"{len(found)} damaged; `cache prune` removes them" if found else "nothing is damaged")
    if found:
        raise typer.Exit(1)


@commands.command("prune")
def prune(
    folder: CacheFolder,
    unused_days: Annotated[
        float | None, typer.Option(help="Also remove what no run has used for so many days.", min=0)
    ] = None,
) -> None:
    """Remove what is damaged and what stopped runs left half-written. Your scans are not touched."""
    from fedtune3d.workflows.cache import open_cache

    for part in open_cache(folder):
        removed = part.entries.prune(unused_days)
        out.print(f"{part.site}: {len(removed)} of {part.kind} removed")
