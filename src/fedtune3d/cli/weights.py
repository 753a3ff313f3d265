"""Commands of `fedtune3d weights`."""

from pathlib import Path
from typing import Annotated

import typer

from fedtune3d.cli.shared import out

commands = typer.Typer(no_args_is_help=True, help="The released SAM-Med3D weights to start from.")


@commands.command()
def fetch(
    to: Annotated[Path, typer.Option(help="The folder to put the file into.")] = Path("weights"),
) -> None:
    """Download sam_med3d_turbo.pth, check it, and say what to write in the experiment file.

    Needs the internet. On a machine without it, download the file elsewhere and copy it; the message says how.
    """
    from fedtune3d.models.hub import fetch_weights

    path, origin = fetch_weights(to)
    out.print(f"{path}: SHA-256 {origin.sha256}, as the hub states it for {origin.revision}", soft_wrap=True)
    out.print(f"In the experiment file, under `model`, write: weights: {path.absolute()}", soft_wrap=True)
