"""The server's side on Flower: a ServerApp that runs an experiment with the sites that have joined."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import httpx
from flwr.app import Context, RecordDict
from flwr.serverapp import Grid, ServerApp

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.locks import one_writer
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.flower.certificates import require_certificates
from fedtune3d.federation.flower.door import open_door
from fedtune3d.federation.flower.engine import (
    Runtime,
    keep_proxies_out_of_this_machine,
    patient_retries,
    start_child,
    stop_child,
    write_secret,
)
from fedtune3d.federation.flower.grid_federation import GridFederation
from fedtune3d.federation.flower.keys import read_public_key
from fedtune3d.federation.flower.launch import DOOR
from fedtune3d.federation.flower.private_api import (
    ControlHttpClient,
    Fab,
    HttpGrid,
    PullTaskInputRequest,
    PushTaskOutputRequest,
    RegisterNodeRequest,
    RuntimeVersionHttpInterceptor,
    StartRunRequest,
    SubStatus,
    TaskIdentity,
    TaskType,
    build_fab_from_disk,
    context_from_proto,
    context_to_proto,
    fab_to_proto,
    public_key_to_bytes,
    run_from_proto,
    use_retries,
)
from fedtune3d.federation.flower.server_folder import ServerFolder, ServerSettings
from fedtune3d.federation.flower.wire import Occasion
from fedtune3d.federation.messages import Federation
from fedtune3d.federation.process_model import ProcessModel

Result = TypeVar("Result")
Reach = Callable[[ProcessModel], Federation]
START_SECONDS = 120


class SuperLinkLostError(InputError):
    """The SuperLink exited or does not answer; committed rounds are saved."""


def reach_by(
    grid: Grid,
    experiment: Experiment,
    *,
    authenticated: bool = True,
    wait_seconds: float | None = None,
    on_wait: Callable[[str], None] = lambda text: None,
) -> Reach:
    """Return a function that makes the `GridFederation` of an experiment's sites."""

    def reach(process_model: ProcessModel) -> Federation:
        """Return the sites behind the grid; every task carries the experiment."""
        public, sha256 = experiment.public(), experiment.sha256()
        return GridFederation(
            grid,
            (section.name for section in experiment.sites),
            lambda: Occasion(public, sha256, process_model.assembled.weights.sha256),
            authenticated=authenticated,
            wait_seconds=wait_seconds,
            on_wait=on_wait,
        )

    return reach


def make_server_app(work: Callable[[Experiment, Reach, bool], object]) -> ServerApp:
    """Create a ServerApp for an existing SuperLink: `flwr run`, with the experiment's path in the run configuration.

    Args:
        work: Called with the experiment, the function that reaches its sites, and whether to resume.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        experiment = Experiment.from_yaml(str(context.run_config["experiment"]))
        work(experiment, reach_by(grid, experiment), bool(context.run_config["resume"]))

    return app


def serve(
    experiment: Experiment,
    folder: ServerFolder,
    work: Callable[[Reach, bool], Result],
    *,
    app: Path,
    wait_seconds: float | None,
    on_wait: Callable[[str], None],
    on_restart: Callable[[str], None],
) -> Result:
    """Start a SuperLink, admit the sites whose keys are in the folder, and call `work`.

    If the SuperLink exits before `work` returns, a new one is started and `work` is called again, with True as its
    second argument. `app` is the folder of the Flower app, which names the ClientApp and the ServerApp.

    Raises:
        InputError: If a site has no key in the folder, the SuperLink cannot start, or the work cannot continue.
    """
    settings, restarted = folder.settings(), False
    if not settings.insecure:
        require_certificates(folder.paths)
    keep_proxies_out_of_this_machine()
    names = [section.name for section in experiment.sites]
    if missing := [name for name in names if not folder.public_key(name).exists()]:
        raise InputError(f"{folder.path}: no key for {', '.join(missing)}; add it with `fedtune3d server init`")
    reaching = partial(
        reach_by,
        experiment=experiment,
        authenticated=not settings.insecure,
        wait_seconds=wait_seconds,
        on_wait=on_wait,
    )
    with one_writer(folder.path, "fedtune3d server run"):
        while True:
            with _superlink(folder, settings, app) as link:
                try:
                    with link.grid(names) as grid:
                        return work(reaching(grid), restarted)
                except httpx.HTTPError as error:
                    if link.is_alive():
                        raise SuperLinkLostError(
                            f"the SuperLink does not answer ({error}); see {link.log}, then run again with --resume"
                        ) from error
                    on_restart(f"the SuperLink exited; see {link.log}; starting a new one")
                    restarted = True


class _SuperLink:
    """A SuperLink that this process runs."""

    def __init__(self, folder: ServerFolder, settings: ServerSettings, app: Path) -> None:
        self.folder, self.settings, self.app = folder, settings, app
        self.log = folder.paths.log
        self.address = f"127.0.0.1:{settings.port}"
        self.certificate = None if settings.insecure else folder.paths.authority.read_bytes()
        self.secret = write_secret(folder.paths.secret)
        transport = ["--insecure"]
        if not settings.insecure:
            transport = [
                "--ssl-ca-certfile",
                str(folder.paths.authority),
                "--ssl-certfile",
                str(folder.paths.certificate),
            ]
            transport += ["--ssl-keyfile", str(folder.paths.key), "--enable-supernode-auth"]
        arguments = [
            *transport,
            *("--host", settings.listen, "--port", str(settings.port)),
            *("--isolation", "process", "--superexec-auth-secret-file", str(folder.paths.secret)),
            "--disable-runtime-dependency-installation",
        ]
        self.door = folder.paths.door
        self.door.unlink(missing_ok=True)
        self.child = start_child(
            "superlink", arguments, folder.paths.flower, self.log, {DOOR: str(self.door.absolute())}
        )
        self.runtime = Runtime(self.address, self.certificate, self.secret, "SuperExec")

    def is_alive(self) -> bool:
        """Return whether its process is running."""
        return self.child.poll() is None

    def close(self) -> None:
        """Stop it."""
        self.runtime.close()
        stop_child(self.child)

    @contextmanager
    def grid(self, sites: list[str]) -> Iterator[Grid]:
        """Register the sites' keys, start a Flower run, and act as its ServerApp in this process."""
        self._control(sites)
        token = self._until_ready(lambda: self.runtime.acquire(TaskType.SERVER_APP))
        grid = HttpGrid(self.address, self.certificate is None, self.certificate, token=token)
        use_retries(grid, patient_retries())
        with self.runtime.task(token) as client:
            task = client.PullTaskInput(PullTaskInputRequest())
            context = context_from_proto(task.context)
            TaskIdentity.task_id, TaskIdentity.run_id = task.task_id, task.run.run_id
            TaskIdentity.node_id = task.context.node_id
            grid.set_run(run_from_proto(task.run))
            status = SubStatus.FAILED
            try:
                yield grid
                status = SubStatus.COMPLETED
            finally:
                context.state = RecordDict()
                try:
                    if self.is_alive():
                        output = PushTaskOutputRequest(context=context_to_proto(context), sub_status=status)
                        client.PushTaskOutput(output)
                except httpx.HTTPError:
                    pass  # our run is over either way
                grid.close()

    def _control(self, sites: list[str]) -> None:
        content = build_fab_from_disk(self.app)
        fab = Fab(hashlib.sha256(content).hexdigest(), content, {})
        with ControlHttpClient.from_server_address(
            self.address,
            self.certificate is None,
            self.certificate,
            [RuntimeVersionHttpInterceptor(component_name="flwr CLI")],
        ) as control:
            keys = None
            if self.certificate is not None:
                keys = [public_key_to_bytes(read_public_key(self.folder.public_key(site))) for site in sites]
                for site, key in zip(sites, keys, strict=True):
                    request = RegisterNodeRequest(public_key=key, name=site)
                    self._until_ready(partial(_register, control, request))
            open_door(self.door, keys)
            self._until_ready(lambda: control.StartRun(StartRunRequest(fab=fab_to_proto(fab))).run_id)

    def _until_ready(self, call: Callable[[], Result | None]) -> Result:
        """Return the result of a call once the SuperLink is up. Raises `InputError` if it exits or takes too long."""
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                if result := call():
                    return result
            except httpx.TransportError:
                pass
            if not self.is_alive() or time.monotonic() > until:
                raise InputError(f"the SuperLink did not start on port {self.settings.port}; see {self.log}")
            time.sleep(0.2)


def _register(control: ControlHttpClient, request: RegisterNodeRequest) -> int:
    return int(control.RegisterNode(request).node_id)


@contextmanager
def _superlink(folder: ServerFolder, settings: ServerSettings, app: Path) -> Iterator[_SuperLink]:
    link = _SuperLink(folder, settings, app)
    try:
        yield link
    finally:
        link.close()
