"""Commands of `fedtune3d server`."""

from pathlib import Path
from shlex import join
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
    require_watched_port,
    watched_bars,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fedtune3d.config.experiment import Experiment
    from fedtune3d.federation.flower.server_app import Reach

Result = TypeVar("Result")

commands = typer.Typer(no_args_is_help=True, help="Across hospitals: the server that sites connect to.")

FolderOption = Annotated[Path, typer.Option("--folder", help="The server's folder, made by `server init`.")]

WaitOption = Annotated[
    float | None,
    typer.Option("--wait", help="Minutes to wait for sites that have not joined; by default, no limit.", min=0),
]


@commands.command("init")
def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The server's folder; created, or extended with new sites.")
    ],
    address: Annotated[str, typer.Option(help="Address at which sites reach this server, HOST:PORT.")],
    site: Annotated[list[str], typer.Option(help="Name of a site, as in the experiment file; repeat for each site.")],
) -> None:
    """Create the server's certificate and, for each site, a folder with its key to hand over."""
    from fedtune3d.federation.flower.server_folder import ServerFolder

    made = ServerFolder.make(folder, address, site)
    for name in site:
        out.print(f"for site {name}: {made.paths.site(name).path}", soft_wrap=True)
    out.print("Each site fills in its site.yaml and joins; then run:", soft_wrap=True)
    out.print(f"fedtune3d server run EXPERIMENT.yaml --folder {folder}", soft_wrap=True)


@commands.command("set-key")
def set_key(
    site: Annotated[str, typer.Option(help="The site's name.")],
    key: Annotated[Path, typer.Option(help="The site's new public key, site.key.pub of `site new-key`.")],
    folder: FolderOption = Path("server"),
) -> None:
    """Take a site's new public key in the place of its old one, from the next `server run` on."""
    from fedtune3d.federation.flower.server_folder import ServerFolder

    fingerprint = ServerFolder(folder).set_key(site, key)
    out.print(f"key of {site}: {fingerprint}; compare it with the site by telephone", soft_wrap=True)


@commands.command("renew")
def renew(folder: FolderOption = Path("server")) -> None:
    """Renew the server's own key and certificate; the sites' folders stay as they are."""
    from fedtune3d.federation.flower.server_folder import ServerFolder

    ServerFolder(folder).renew_certificate()
    out.print("renewed; the next `server run` uses the new certificate")


@commands.command("run")
def run(
    experiment: ExperimentFile,
    folder: FolderOption = Path("server"),
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the output folder.")] = False,
    wait: WaitOption = None,
    watch: Watched = False,
    port: Port = None,
) -> None:
    """Train across the sites that have joined, evaluate at each site, and write the report."""
    from fedtune3d.workflows.run import run_across

    require_watched_port(watch, port)
    settings = _read(experiment, folder)
    try:
        with watched_bars(settings.output, watch, port) as progress:
            run_folder = _serve(
                settings,
                folder,
                wait,
                lambda reach, restarted: run_across(settings, reach, resume=resume or restarted, progress=progress),
            )
    except KeyboardInterrupt:
        command = join(["fedtune3d", "server", "run", str(experiment), "--folder", str(folder), "--resume"])
        err.print(f"stopped; continue with: {command}")
        raise typer.Exit(130) from None
    print_result(run_folder)


@commands.command("check")
def check(
    experiment: ExperimentFile,
    folder: FolderOption = Path("server"),
    near: Annotated[
        bool,
        typer.Option("--near/--no-near", help="Also look for the same person under two ids; about 0.5 s per scan."),
    ] = True,
    wait: WaitOption = None,
) -> None:
    """Look for data leaks between the sites that have joined, as `check` does on one machine; nothing is trained.

    Sites without a fingerprint_key in site.yaml cannot be compared with the others, and are listed.
    """
    from fedtune3d.workflows.check import check_across

    settings = _read(experiment, folder)
    with err.status("sites are preparing, splitting and fingerprinting their scans"):
        audit = _serve(settings, folder, wait, lambda reach, restarted: check_across(settings, reach, near))
    print_audit(audit, settings)


def _read(experiment: Path, folder: Path) -> "Experiment":
    """Read the experiment with the encoders of the server's own."""
    from fedtune3d.config.cross_validation import require_one_run
    from fedtune3d.federation.flower.server_folder import ServerFolder

    ServerFolder(folder).install_encoders()
    settings = read_experiment(experiment)
    require_one_run(settings.validation)
    return settings


def _serve(
    experiment: "Experiment", folder: Path, wait: float | None, work: "Callable[[Reach, bool], Result]"
) -> Result:
    from fedtune3d.workflows.serve import serve_experiment

    return serve_experiment(
        experiment,
        folder,
        work,
        wait_minutes=wait,
        on_wait=lambda missing: err.print(f"waiting for {missing}" if missing else "all sites have joined"),
        on_restart=err.print,
    )
