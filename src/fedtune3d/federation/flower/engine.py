"""Flower's engine as both sides use it: its programs run as child processes, its tasks in this process.

Both sides use the isolation mode ``process``, in which Flower starts no app itself: our own process takes the tasks
and carries them out with the code installed here. The server sends only data; a site never runs code from the server.
"""

import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from fedtune3d.federation.flower.private_api import (
    AcquireTaskRequest,
    ProtobufClientInterceptor,
    RetryInvoker,
    RuntimeHttpClient,
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SendTaskHeartbeatRequest,
    SuperExecAuthHttpInterceptor,
    TaskType,
    exponential,
)

ACQUIRE = "/flwr.proto.Runtime/AcquireTask"
HEARTBEAT_SECONDS = 10
PATIENCE_SECONDS = 20
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
FRUGAL = {"MALLOC_MMAP_THRESHOLD_": "100000", "MALLOC_TRIM_THRESHOLD_": "100000", "MALLOC_ARENA_MAX": "2"}
"""Let glibc give pieces of tensors (5 MiB each) back to the system as soon as they are freed."""


def start_child(
    program: str, arguments: Sequence[str], home: Path, log: Path, extra: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a ``superlink`` or ``supernode`` that exits with this process; its output is appended to a log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "fedtune3d.federation.flower.launch", program, str(os.getpid()), *arguments]
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**FRUGAL, **os.environ, **QUIET, "FLWR_HOME": str(home), **(extra or {})},
        )


def stop_child(child: subprocess.Popen[bytes]) -> None:
    """Ask a child process to exit, and kill it if it does not."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def keep_proxies_out_of_this_machine() -> None:
    """Exclude connections within this machine from the environment's proxy (`HTTPS_PROXY`, `ALL_PROXY`)."""
    exclusions = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    os.environ["no_proxy"] = ",".join(filter(None, [exclusions, "127.0.0.1"]))


def write_secret(path: Path) -> bytes:
    """Write a new secret to a file that only this user can read."""
    secret = secrets.token_bytes(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)
    return secret


def patient_retries() -> RetryInvoker:
    """Return a policy that retries during a short connection loss; after that the error is raised."""
    return RetryInvoker(
        wait_gen_factory=lambda: exponential(max_delay=2),
        recoverable_exceptions=httpx.TransportError,
        max_tries=None,
        max_time=PATIENCE_SECONDS,
    )


class Runtime:
    """The Runtime API of a SuperLink or SuperNode on this machine.

    Args:
        address: ``host:port``.
        certificate: Certificate of the authority that signed the API's certificate; None for plain HTTP.
        secret: The secret that the API was started with.
        component: The caller's name in Flower.
    """

    def __init__(self, address: str, certificate: bytes | None, secret: bytes, component: str) -> None:
        self.address = address
        self.certificate = certificate
        self.component = component
        signed = SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=[ACQUIRE])
        self._client = self._connect([signed])

    def _connect(self, interceptors: Sequence[ProtobufClientInterceptor]) -> RuntimeHttpClient:
        return RuntimeHttpClient.from_server_address(
            server_address=self.address,
            insecure=self.certificate is None,
            root_certificates=self.certificate,
            interceptors=[RuntimeVersionHttpInterceptor(component_name=self.component), *interceptors],
            retry_invoker=patient_retries(),
        )

    def acquire(self, kind: TaskType) -> str | None:
        """Claim a waiting task of a kind and return its token; None if none is waiting."""
        response = self._client.AcquireTask(AcquireTaskRequest(supported_task_types=[kind]))
        return str(response.token) if response.HasField("task") and response.token else None

    @contextmanager
    def task(self, token: str) -> Iterator[RuntimeHttpClient]:
        """Open a client for a claimed task and keep it alive while the block runs."""
        client = self._connect([RuntimeTokenHttpInterceptor(token)])
        ended = threading.Event()
        beat = threading.Thread(target=_beat, args=(client, ended), daemon=True)
        beat.start()
        try:
            yield client
        finally:
            ended.set()
            beat.join()
            client.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _beat(client: RuntimeHttpClient, ended: threading.Event) -> None:
    while True:
        with suppress(httpx.HTTPError):
            client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
        if ended.wait(HEARTBEAT_SECONDS):
            return


def free_port() -> int:
    """Find a port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
