"""The site's side on Flower: a ClientApp, and the process that answers messages arriving at the site's SuperNode."""

import logging
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import httpx
from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp

from fedtune3d._utils.folders import SitePaths, SiteWork
from fedtune3d._utils.locks import one_writer
from fedtune3d._utils.memory import KeptMemory
from fedtune3d._utils.progress import Lines
from fedtune3d.federation.flower.engine import (
    Runtime,
    free_port,
    keep_proxies_out_of_this_machine,
    start_child,
    stop_child,
    write_secret,
)
from fedtune3d.federation.flower.intake import intake_environment
from fedtune3d.federation.flower.private_api import (
    ErrorCode,
    SubStatus,
    TaskType,
    pull_task_input,
    push_message,
    push_task_output,
)
from fedtune3d.federation.flower.reachability import why_refused
from fedtune3d.federation.flower.site_folder import SiteSettings
from fedtune3d.federation.flower.site_host import MakeSite, SiteHost

log = logging.getLogger("fedtune3d")
POLL_SECONDS = 0.2
RECONNECT_SECONDS = 5.0
IDLE_SECONDS = 60.0


@cache
def _host(folder: Path, make_site: MakeSite) -> SiteHost:
    return SiteHost(folder, make_site, Lines(log.info))


def make_client_app(make_site: MakeSite) -> ClientApp:
    """Create a site's ClientApp; the SuperNode's configuration gives the site's folder as `site-folder`."""
    app = ClientApp()

    def answer(message: Message, context: Context) -> Message:
        """Answer one message."""
        host = _host(Path(str(context.node_config["site-folder"])), make_site)
        return Message(host.answer(message.content), reply_to=message)

    app.train()(answer)
    app.evaluate()(answer)
    app.query()(answer)
    return app


def join(folder: Path, make_site: MakeSite, stopped: Callable[[], bool] = lambda: False) -> None:
    """Keep a site in its federation until `stopped` returns True.

    A SuperNode receives messages and this process carries out their tasks. Only code installed here is run, whatever
    the server sends. If the SuperNode exits, it is started again.
    """
    settings = SiteSettings.read(folder)
    keep_proxies_out_of_this_machine()
    settings.work.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.work.chmod(0o700)
    with one_writer(settings.work, "fedtune3d site join"):
        _host(folder, make_site)  # report problems with the folder before connecting
        app = make_client_app(make_site)
        while not stopped():
            began = time.monotonic()
            try:
                _serve(folder, settings, app, stopped)
                reason = why_refused(folder, settings)
            except OSError as error:
                reason = str(error)  # such as a full disk
            if not stopped():
                log.warning("%s; trying again", reason)
                time.sleep(max(0.0, RECONNECT_SECONDS - (time.monotonic() - began)))


def _serve(folder: Path, settings: SiteSettings, app: ClientApp, stopped: Callable[[], bool]) -> None:
    """Start a SuperNode and answer its messages until it exits."""
    address = f"127.0.0.1:{settings.runtime_port or free_port()}"
    work = SiteWork(settings.work)
    secret = write_secret(work.secret)
    bounds = intake_environment(settings.policy.max_payload_mb)
    child = start_child("supernode", _arguments(folder, settings, address), work.flower, work.log, bounds)
    runtime = Runtime(address, None, secret, "SuperExec")
    kept = KeptMemory(IDLE_SECONDS)
    try:
        while child.poll() is None and not stopped():
            work.alive.touch()
            if _answer_one(runtime, app):
                work.answered.touch()
                kept.note_work()
            else:
                kept.return_if_idle()
                time.sleep(POLL_SECONDS)
    finally:
        runtime.close()
        stop_child(child)


def _arguments(folder: Path, settings: SiteSettings, address: str) -> list[str]:
    host, _, port = address.rpartition(":")
    transport = ["--insecure"]
    if not settings.insecure:
        transport = ["--root-certificates", str(SitePaths(folder).certificate)]
        transport += ["--auth-supernode-private-key", str(SitePaths(folder).key)]
    return [
        *transport,
        *("--superlink", settings.server),
        *("--node-config", f'site-folder="{folder.absolute()}"'),
        *("--isolation", "process", "--host", host, "--port", port),
        *("--superexec-auth-secret-file", str(SiteWork(settings.work).secret)),
    ]


def _answer_one(runtime: Runtime, app: ClientApp) -> bool:
    """Carry out one waiting task; return False if there is none, or if the SuperNode does not answer."""
    try:
        token = runtime.acquire(TaskType.CLIENT_APP)
        if token is None:
            return False
        with runtime.task(token) as client:
            message, context, _, _ = pull_task_input(client)
            push_message(client, _answer(app, message, context), context)
            push_task_output(client, context, SubStatus.COMPLETED, "")
    except (httpx.HTTPError, RuntimeError) as error:
        log.debug("the SuperNode: %s", error)
        return False
    except Exception as error:
        log.warning("discarded an invalid message: %s", type(error).__name__)
        return False
    return True


def _answer(app: ClientApp, message: Message, context: Context) -> Message:
    """Answer a message; one that the app cannot take, such as of an unknown type, is answered with an error."""
    try:
        return app(message=message, context=context)
    except Exception as why:
        log.warning("discarded a message of type %r: %s", message.metadata.message_type, type(why).__name__)
        return Message(
            Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "refused: not a message of fedtune3d"), reply_to=message
        )
