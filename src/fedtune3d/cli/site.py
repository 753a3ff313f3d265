"""Commands of `fedtune3d site`."""

from pathlib import Path
from typing import Annotated

import typer

from fedtune3d.cli.shared import err, out

commands = typer.Typer(no_args_is_help=True, help="Across hospitals: one site; its scans stay where they are.")

SiteFolder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The site's folder, with its key and site.yaml.")]


@commands.command("join")
def join_federation(folder: SiteFolder) -> None:
    """Join the federation until Ctrl-C: connect to the server and carry out the tasks that site.yaml allows.

    Makes outgoing connections only. Everything that leaves is logged in work/runs/*/sites/*/egress.jsonl.
    """
    import logging

    from fedtune3d.federation.flower.client_app import join
    from fedtune3d.workflows.sites import make_hosted_site

    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    logging.getLogger("fedtune3d").setLevel(logging.INFO)
    try:
        join(folder, make_hosted_site)
    except KeyboardInterrupt:
        err.print(f"left the federation; rejoin with: fedtune3d site join {folder}")
        raise typer.Exit(130) from None


@commands.command("check")
def check(folder: SiteFolder) -> None:
    """Check settings, data, disk, key, network, certificate and clock before a run."""
    from fedtune3d.federation.flower.site_check import check_site

    failed = False
    for finding in check_site(folder):
        failed |= not finding.good
        out.print(f"{'ok     ' if finding.good else 'NOT OK '}{finding.text}", markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(2)
