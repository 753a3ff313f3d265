"""`fedtune3d verify`."""

from pathlib import Path
from typing import Annotated

import typer

from fedtune3d.cli.shared import err, out, read_experiment


def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A run folder, a study, a cache, or a site's folder.")
    ],
    inputs: Annotated[
        Path | None,
        typer.Option(
            metavar="EXPERIMENT.yaml", help="Also compare the sites' scans and tables with those read by the run."
        ),
    ] = None,
) -> None:
    """Check that no file has changed since it was written, and report what can be recomputed.

    Reads every file in full. Exits with code 0 if all are intact, 2 if any is damaged.
    """
    from fedtune3d.workflows.verify import verify_folder

    result = verify_folder(folder, None if inputs is None else read_experiment(inputs))
    for damage in result.damages:
        err.print(f"{damage.path}: {damage.problem}; {damage.remedy}", soft_wrap=True, markup=False)
    unchecked = f"; {result.unchecked} carry no checksum" if result.unchecked else ""
    out.print(f"{result.checked} files verified, {len(result.damages)} damaged{unchecked}", soft_wrap=True)
    if result.damages:
        raise typer.Exit(2)
