"""Serve an experiment to remote sites, with a SuperLink that runs as long as the work."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.flower.server_app import Reach, serve
from fedtune3d.federation.flower.server_folder import ServerFolder

Result = TypeVar("Result")
FLOWER_APP = Path(__file__).parent / "flower_app"


def serve_experiment(
    experiment: Experiment,
    folder: Path,
    work: Callable[[Reach, bool], Result],
    *,
    wait_minutes: float | None,
    on_wait: Callable[[str], None],
    on_restart: Callable[[str], None],
) -> Result:
    """Start the server of `folder`, and call `work` with the experiment's sites.

    Args:
        experiment: The experiment, whose sites may join.
        folder: The server's folder, created by `fedtune3d server init`.
        work: Called with the function that reaches the sites, and whether an earlier attempt was interrupted.
        wait_minutes: How long to wait for a site that is not connected; None to wait forever.
        on_wait: Called with the names of the missing sites, and with an empty text when all are connected.
        on_restart: Called with the reason when the SuperLink is restarted.

    Raises:
        InputError: If a site has no key, the SuperLink cannot start, or the work cannot continue.
    """
    return serve(
        experiment,
        ServerFolder(folder),
        work,
        app=FLOWER_APP,
        wait_seconds=None if wait_minutes is None else wait_minutes * 60,
        on_wait=on_wait,
        on_restart=on_restart,
    )
