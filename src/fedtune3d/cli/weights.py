"""Commands of `fedtune3d weights`."""

from pathlib import Path
from typing import Annotated

import typer

from fedtune3d.cli.shared import out

commands = typer.Typer(no_args_is_help=True, help="The released SAM-Med3D weights.")


@commands.command()
def fetch(
    to: Annotated[Path, typer.Option(help="Folder to save the file in.")] = Path("weights"),
) -> None:
    """Download sam_med3d_turbo.pth, verify it, and print the line for the experiment file.

    Needs internet access. Without it, the error message explains how to copy the file from another machine.
    """
    from fedtune3d.models.hub import fetch_weights

    path, origin = fetch_weights(to)
    out.print(f"{path}: SHA-256 {origin.sha256}, matches the hub's for revision {origin.revision}", soft_wrap=True)
    out.print(f"In the experiment file, under `model`, set: weights: {path.absolute()}", soft_wrap=True)
