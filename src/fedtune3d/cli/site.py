"""Commands of `fedtune3d site`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from fedtune3d.cli.shared import ExperimentFile, Port, Watched, err, out, require_watched_port

commands = typer.Typer(no_args_is_help=True, help="Across hospitals: one site; its scans stay where they are.")


@commands.callback()
def _private() -> None:
    """Across hospitals: one site; its scans stay where they are."""
    os.umask(0o077)  # whatever a site writes is for its own account


SiteFolder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The site's folder, with its key and site.yaml.")]

OwnFolder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The site's folder, with its site.yaml.")]


@commands.command("join")
def join_federation(folder: SiteFolder, watch: Watched = False, port: Port = None) -> None:
    """Join the federation until Ctrl-C: connect to the server and answer the experiments approved here.

    Makes outgoing connections only. `fedtune3d site log` shows everything that leaves, and so does the page of --watch,
    which is served on this machine only: what was asked, what left, what is left of the budgets, and how far it is.
    """
    import logging

    from fedtune3d.cli.console import OneLine
    from fedtune3d.federation.flower.client_app import join
    from fedtune3d.workflows.sites import make_hosted_site

    require_watched_port(watch, port)
    lines = logging.StreamHandler()
    lines.setFormatter(OneLine("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(handlers=[lines])
    logging.getLogger("fedtune3d").setLevel(logging.INFO)
    try:
        with _watched(folder, port) if watch else nullcontext():
            join(folder, make_hosted_site)
    except KeyboardInterrupt:
        err.print(f"left the federation; rejoin with: fedtune3d site join {quote(str(folder))}")
        raise typer.Exit(130) from None


@contextmanager
def _watched(folder: Path, port: int | None) -> Iterator[None]:
    """Serve the page of a site."""
    from fedtune3d.report.site_page import SitePage
    from fedtune3d.report.watch import SiteWatch
    from fedtune3d.workflows.site_log import read_log

    with SiteWatch(folder, SitePage(folder, read_log), port) as served:
        err.print(f"watch the site at {served.url}")
        yield


@commands.command("check")
def check(folder: SiteFolder) -> None:
    """Check settings, data, disk, key, policy, approvals, network, certificate and clock before a run."""
    from fedtune3d.federation.flower.site_check import check_site

    failed = False
    for finding in check_site(folder):
        failed |= not finding.good
        out.print(f"{'ok     ' if finding.good else 'NOT OK '}{finding.text}", soft_wrap=True)
    if failed:
        raise typer.Exit(2)


@commands.command("health")
def health(folder: SiteFolder) -> None:
    """Report process, last contact, disk, server and days left of certificates, for monitoring.

    Exit code 0: all well; 1: look at it soon; 2: look at it now (as Nagios and Icinga read it).
    """
    from fedtune3d.federation.flower.site_health import site_health

    worst = 0
    for line in site_health(folder):
        worst = max(worst, line.level)
        out.print(f"{('ok      ', 'WARNING ', 'CRITICAL')[line.level]} {line.text}", soft_wrap=True)
    raise typer.Exit(worst)


@commands.command("new-key")
def new_key(folder: SiteFolder) -> None:
    """Make a new key for this site; the old one stays next to it until the server knows the new one.

    Send site.key.pub to the server's operator, who runs `fedtune3d server set-key`.
    """
    from fedtune3d.federation.flower.keys import renew_site_key
    from fedtune3d.federation.flower.site_folder import SiteSettings

    fingerprint = renew_site_key(folder, SiteSettings.read(folder).name)
    out.print(f"new key: {fingerprint}; send site.key.pub to the server's operator", soft_wrap=True)


@commands.command("approve")
def approve(
    folder: SiteFolder,
    experiment: ExperimentFile,
    yes: Annotated[bool, typer.Option("--yes", help="Approve without asking, for scripts.")] = False,
) -> None:
    """Show on one screen what an experiment requests from this site, and approve it.

    Only approved experiments are answered. If the experiment (other than its paths) or its people change, it needs
    a new approval.
    """
    from fedtune3d.workflows import approve as workflow

    request = workflow.read_request(folder, experiment)
    out.print(request.screen)
    out.print("")
    if not yes and not typer.confirm("Approve?"):
        err.print("not approved")
        raise typer.Exit(1)
    approval = workflow.approve(folder, request)
    out.print(f"approved: {approval.name} ({approval.short})")


@commands.command("approvals")
def approvals(folder: SiteFolder) -> None:
    """List the experiments approved here, including revoked ones."""
    from fedtune3d._utils.folders import SitePaths
    from fedtune3d.cli.site_tables import approvals_table
    from fedtune3d.federation.privacy.approval import Approvals

    approved = Approvals(SitePaths(folder).approvals).all()
    out.print(approvals_table(approved) if approved else "no experiment was approved here yet")


@commands.command("revoke")
def revoke(
    folder: SiteFolder,
    experiment: Annotated[str, typer.Argument(metavar="HASH", help="The experiment's hash, or its first digits.")],
) -> None:
    """Revoke an approval: no further answer leaves, not even one being computed."""
    from fedtune3d._utils.folders import SitePaths
    from fedtune3d.federation.privacy.approval import Approvals

    revoked = Approvals(SitePaths(folder).approvals).revoke(experiment)
    out.print(f"revoked: {revoked.name} ({revoked.short}); answers that already left cannot be recalled")


@commands.command("withdraw")
def withdraw(
    folder: SiteFolder,
    person: Annotated[str, typer.Argument(metavar="PERSON", help="The participant_id, with or without sub-.")],
) -> None:
    """Exclude a participant from now on, and delete everything derived from their data at this site."""
    from fedtune3d.workflows.withdraw import CANNOT_BE_UNDONE, withdraw_person

    withdraw_person(folder, person)
    out.print("The participant is excluded from now on; prepared scans, features and table rows are deleted.")
    out.print("Running experiments continue without them: they train, but counts and statistics stay here.")
    out.print(CANNOT_BE_UNDONE)


@commands.command("forget")
def forget(
    folder: SiteFolder,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking, for scripts.")] = False,
) -> None:
    """Delete all files of the federation at this site: prepared scans, features, predictions, memory, stored answers.

    The approvals, the budget and the log of answers are kept.
    """
    from fedtune3d.workflows.withdraw import forget_federation

    if not yes and not typer.confirm(f"Delete the files of all runs in {folder}?"):
        raise typer.Exit(1)
    deleted = forget_federation(folder)
    out.print(f"deleted {len(deleted)} files and folders; approvals, budget and log are kept")


@commands.command("log")
def log(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="The site's folder, with its site.yaml; or its part of a run on one machine, such as run/sites/A.",
        ),
    ],
) -> None:
    """Show what left this site: when, under which approval, why, what it reveals, and about how many people."""
    from fedtune3d.cli.site_tables import log_table
    from fedtune3d.workflows.site_log import read_log

    entries = read_log(folder)
    out.print(log_table(entries) if entries else "nothing has left this site yet")


@commands.command("key")
def key(folder: OwnFolder = Path("site")) -> None:
    """Make the key with which this site signs in secure aggregation, and print its fingerprint.

    An existing key is kept. Give the fingerprint to the other sites by telephone or in person, not through the server.
    """
    from fedtune3d.federation.flower.site_folder import SiteSettings
    from fedtune3d.federation.privacy.secure_aggregation.key_files import make_identity

    settings = SiteSettings.read(folder)
    identity = make_identity(settings.signing_key)
    out.print(f"{settings.name} {identity.fingerprint}", soft_wrap=True)


@commands.command("trust")
def trust(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of another site, as in the experiment file.")],
    fingerprint: Annotated[str, typer.Argument(metavar="FINGERPRINT", help="As `site key` printed it at that site.")],
    folder: OwnFolder = Path("site"),
) -> None:
    """Trust another site's signing key in secure aggregation, instead of any key of that site trusted before.

    Get the fingerprint from a person at that site, not from the server, which could have made a key of its own.
    """
    from fedtune3d.federation.flower.site_folder import SiteSettings
    from fedtune3d.federation.privacy.secure_aggregation.key_files import add_trusted

    settings = SiteSettings.read(folder)
    add_trusted(settings.trusted, name, fingerprint)
    out.print(f"{settings.name} trusts {name} {fingerprint} ({settings.trusted})", soft_wrap=True)
