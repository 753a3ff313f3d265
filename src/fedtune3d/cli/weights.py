"""Commands of `fedtune3d weights`."""

from pathlib import Path
from typing import Annotated

import typer

from fedtune3d.cli.shared import out

commands = typer.Typer(no_args_is_help=True, help="Released weights of the encoders.")

Folder = Annotated[Path, typer.Option("--to", help="Folder of the files.")]


@commands.command()
def fetch(
    encoder: Annotated[str, typer.Argument(help="An encoder: vit_b, meshnet or volumes.")] = "vit_b",
    to: Folder = Path("weights"),
) -> None:
    """Download an encoder's released weights, verify them, and print the line for the experiment file.

    Needs internet access. Without it, the error message explains how to copy the file from another machine.
    """
    from fedtune3d._utils.errors import InputError
    from fedtune3d.models.encoders import encoder_spec
    from fedtune3d.models.hub import fetch_weights
    from fedtune3d.models.releases import fetch_release

    spec = encoder_spec(encoder)
    if encoder == "vit_b":
        path, origin = fetch_weights(to)
        out.print(f"{path}: SHA-256 {origin.sha256}, matches the hub's for revision {origin.revision}", soft_wrap=True)
    elif spec.release is None:
        raise InputError(f"encoder {encoder}: there are no released weights; write weights: random")
    elif spec.is_packaged:
        raise InputError(f"encoder {encoder}: its weights are part of {spec.release.source}; no download is needed")
    else:
        path = fetch_release(spec.release, to)
        out.print(f"{path}: SHA-256 {spec.release.sha256}, as expected; licence: {spec.licence}", soft_wrap=True)
    out.print(f"In the experiment file, under `model`, set: weights: {path.absolute()}", soft_wrap=True)


@commands.command("list")
def list_all(to: Folder = Path("weights")) -> None:
    """List the released weights: licence, size, source, and whether they are on this machine."""
    from fedtune3d.cli.weights_table import weights_table
    from fedtune3d.models.releases import list_weights

    table, lines = weights_table(list_weights(to))
    out.print(table)
    for line in lines:
        out.print(line, soft_wrap=True)  # so that addresses stay in one piece


@commands.command()
def check(path: Annotated[Path, typer.Argument(metavar="FILE", help="A file of weights.")]) -> None:
    """Print the encoder that a file of weights fits, after checking every name, shape and value."""
    from fedtune3d._utils.files import sha256_file
    from fedtune3d.models.releases import recognise

    sha256 = sha256_file(path)
    for spec in recognise(path):
        known = spec.release is not None and spec.release.sha256 == sha256
        what = "the authors' file" if known else "not a known file by its SHA-256"
        out.print(f"{path}: fits encoder {spec.name} ({spec.title}); SHA-256 {sha256}, {what}", soft_wrap=True)
