"""Serve an experiment to sites elsewhere: a SuperLink for as long as there is work to do with them."""

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
    """Wait for the experiment's sites at the server of `folder`, and do `work` with them.

    Args:
        experiment: Which sites to wait for.
        folder: The server's folder, which `fedtune3d server init` wrote.
        work: Called with the way to the sites, and whether an earlier attempt was cut off.
        wait_minutes: How long to wait for a site that is not connected; None for ever.
        on_wait: Called with the names of the missing sites; with an empty text when all are there.
        on_restart: Called with the reason when the SuperLink had to be started again.

    Raises:
        InputError: When a site has no key, the SuperLink cannot start, or the work cannot continue.
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
