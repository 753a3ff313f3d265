"""`fedtune3d verify`."""

from pathlib import Path
from typing import Annotated

import typer

from fedtune3d.cli.shared import err, out


def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A run folder, a study, a cache, or a site's folder.")
    ],
    inputs: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Also compare the scans and tables with those that the runs read: the experiment file, "
            "or, at a hospital, the site's folder.",
        ),
    ] = None,
) -> None:
    """Check that no file has changed since it was written, and report what can be recomputed.

    Reads every file in full. Exits with code 0 if all are intact, 2 if any is damaged.
    """
    from fedtune3d.workflows.verify import verify_folder
    from fedtune3d.workflows.verify_inputs import verify_inputs

    result = verify_folder(folder)
    damages = result.damages + (verify_inputs(folder, inputs) if inputs is not None else ())
    for damage in damages:
        err.print(f"{damage.path}: {damage.problem}; {damage.remedy}", soft_wrap=True)
    unchecked = f"; {result.unchecked} carry no checksum" if result.unchecked else ""
    out.print(f"{result.checked} files verified, {len(damages)} damaged{unchecked}", soft_wrap=True)
    if damages:
        raise typer.Exit(2)
