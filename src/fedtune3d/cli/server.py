"""Commands of `fedtune3d server`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from fedtune3d.cli.shared import (
    ExperimentFile,
    Port,
    Watched,
    err,
    out,
    print_audit,
    print_result,
    read_experiment,
    watched_bars,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fedtune3d.config.experiment import Experiment
    from fedtune3d.federation.flower.server_app import Reach

Result = TypeVar("Result")

commands = typer.Typer(no_args_is_help=True, help="Across hospitals: the server that the sites connect to.")

FolderOption = Annotated[Path, typer.Option("--folder", help="The folder that `server init` made.")]

WaitOption = Annotated[
    float | None,
    typer.Option("--wait", help="Minutes to wait for sites that have not joined; for good by default.", min=0),
]


@commands.command("init")
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The server's folder, made or added to.")],
    address: Annotated[str, typer.Option(help="Where sites reach this server, HOST:PORT.")],
    site: Annotated[list[str], typer.Option(help="A site's name, as in the experiment; once for each site.")],
) -> None:
    """Make the server's certificate, and for each site a folder with its key, to be handed over."""
    from fedtune3d.federation.flower.server_folder import ServerFolder

    made = ServerFolder.make(folder, address, site)
    for name in site:
        out.print(f"for site {name}: {made.paths.site(name).path}", soft_wrap=True)
    out.print(f"Sites fill in their site.yaml and join; then: fedtune3d server run EXPERIMENT.yaml --folder {folder}")


@commands.command("run")
def run(
    experiment: ExperimentFile,
    folder: FolderOption = Path("server"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the output folder.")] = False,
    wait: WaitOption = None,
    watch: Watched = False,
    port: Port = None,
) -> None:
    """Train across the sites that have joined, evaluate at each of them, and write the report."""
    from fedtune3d.workflows.run import run_across

    found = read_experiment(experiment)
    try:
        with watched_bars(found.output, watch, port) as progress:
            done = _serve(
                found,
                folder,
                wait,
                lambda reach, again: run_across(found, reach, resume=resume or again, progress=progress),
            )
    except KeyboardInterrupt:
        err.print(f"stopped; go on with: fedtune3d server run {experiment} --folder {folder} --resume")
        raise typer.Exit(130) from None
    print_result(done)


@commands.command("check")
def check(
    experiment: ExperimentFile,
    folder: FolderOption = Path("server"),
    near: Annotated[
        bool,
        typer.Option("--near/--no-near", help="Also ask for codes that show one person under two ids, 0.5 s a scan."),
    ] = True,
    wait: WaitOption = None,
) -> None:
    """Look for leaks between the sites that have joined, as `check` does on one machine; nothing is trained.

    A site whose site.yaml names no fingerprint_key is not looked at for equal scans, and is named.
    """
    from fedtune3d.workflows.check import check_across

    found = read_experiment(experiment)
    with err.status("the sites prepare, split and fingerprint their scans"):
        audit = _serve(found, folder, wait, lambda reach, again: check_across(found, reach, near))
    print_audit(audit)


def _serve(
    experiment: "Experiment", folder: Path, wait: float | None, work: "Callable[[Reach, bool], Result]"
) -> Result:
    from fedtune3d.workflows.serve import serve_experiment

    return serve_experiment(
        experiment,
        folder,
        work,
        wait_minutes=wait,
        on_wait=lambda missing: err.print(f"waiting for {missing}" if missing else "all sites are there"),
        on_restart=err.print,
    )
