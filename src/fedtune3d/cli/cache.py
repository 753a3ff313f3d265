"""Commands of `fedtune3d cache`."""

from pathlib import Path
from typing import Annotated

import typer

from fedtune3d.cli.shared import out, progress_bars

commands = typer.Typer(no_args_is_help=True, help="The cache of prepared scans and encoder features.")

CacheFolder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="The experiment file, or its cache folder (key `cache`).")
]


@commands.command("list")
def list_parts(folder: CacheFolder) -> None:
    """List the size of the cache per site, and when it was last used."""
    from fedtune3d.cli.cache_table import cache_table
    from fedtune3d.workflows.cache import open_cache

    table, damaged = cache_table(open_cache(folder))
    out.print(table)
    for path in damaged:
        out.print(f"damaged: {path}", soft_wrap=True)


@commands.command("check")
def check(folder: CacheFolder) -> None:
    """Read every entry and list the damaged ones, which the next run recomputes."""
    from fedtune3d.workflows.cache import open_cache

    damaged: dict[Path, str] = {}
    with progress_bars() as bars:
        for part in open_cache(folder):
            with bars.bar(f"{part.site}: checking entries ({part.kind})") as advance:
                damaged |= part.entries.check(advance)
    for fault in damaged.values():
        out.print(f"damaged: {fault}", soft_wrap=True)
    out.print(f"{len(damaged)} damaged; `cache prune` removes them" if damaged else "nothing is damaged")
    if damaged:
        raise typer.Exit(1)


@commands.command("prune")
def prune(
    folder: CacheFolder,
    unused_days: Annotated[
        float | None, typer.Option(help="Also remove entries not used for this many days.", min=0)
    ] = None,
) -> None:
    """Remove damaged entries and leftovers of interrupted runs. Your scans are not touched."""
    from fedtune3d.workflows.cache import open_cache

    for part in open_cache(folder):
        removed = part.entries.prune(unused_days)
        out.print(f"{part.site}: {len(removed)} of {part.kind} removed")
