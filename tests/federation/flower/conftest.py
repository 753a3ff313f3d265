"""Deployments of real processes on this machine: a server and its sites, each as its command starts it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from waiting import PATIENCE_SECONDS, wait_until

from fedtune3d._utils.files import sha256_file
from fedtune3d.config.experiment import Experiment
from fedtune3d.workflows.approve import approve, read_request
from fedtune3d.workflows.run import run_experiment

pytest.importorskip("flwr")

SAME = ("checkpoints/last.safetensors", "checkpoints/best.safetensors", "metrics.json", "summaries/A.json")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """Waits for a condition and gives what it gave: `until(condition, what)`."""
    return wait_until


class Program:
    """A command of the project in a process group of its own, its output in a file."""

    def __init__(
        self, log: Path, *arguments: object, start: tuple[str, ...] = ("-m", "fedtune3d"), environment: Any = None
    ) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *start, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**ENVIRONMENT, **(environment or {})},
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        """All output so far."""
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """Gone without a word, as when the machine loses power: the process and its children."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end, as systemd does; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=60)

    def wait(self) -> int:
        """Its exit code, once it has ended by itself."""
        return self.process.wait(timeout=PATIENCE_SECONDS)


class Deployment:
    """A server's folder, its sites' folders, and what of them runs."""

    def __init__(self, folder: Path, roots: dict[str, Path], values: dict[str, Any], insecure: bool = False) -> None:
        from fedtune3d.federation.flower.engine import free_port
        from fedtune3d.federation.flower.server_folder import ServerFolder

        self.folder, self.roots, self.values, self.insecure = folder, roots, values, insecure
        self.address = f"localhost:{free_port()}"
        self.server_folder = ServerFolder.make(folder / "server", self.address, tuple(roots))
        if insecure:
            (folder / "server" / "server.yaml").write_text(
                yaml.safe_dump({"address": self.address, "listen": "127.0.0.1", "insecure": True})
            )
        for name in roots:
            self.configure(name)
        self.running: list[Program] = []
        self.server: Program | None = None

    def site_folder(self, name: str) -> Path:
        """A site's own folder."""
        return self.server_folder.paths.site(name).path

    def configure(self, name: str, **changes: Any) -> None:
        """Write a site's site.yaml; the policy lets small sites answer."""
        values = {
            "name": name,
            "server": self.address,
            "data": str(self.roots[name]),
            "policy": {"min_people": 1, "min_per_class": 1, "maps_leave": True},
            "insecure": self.insecure,
        }
        (self.site_folder(name) / "site.yaml").write_text(yaml.safe_dump(values | changes))

    def write(self, name: str, *, in_process: bool = False, **changes: Any) -> Path:
        """Write an experiment file: for the server, which the sites approve; or for one process."""
        policy = {"predictions_leave": False, "pictures_leave": False, "groups_leave": False, "min_per_class": 1}
        sites = [
            {"name": site, "policy": policy} | ({"root": str(root)} if in_process else {})
            for site, root in self.roots.items()
        ]
        path = self.folder / f"{name}{'-in-process' if in_process else ''}.yaml"
        cache = {"cache": str(self.folder / "cache")}
        path.write_text(
            yaml.safe_dump(self.values | cache | {"sites": sites, "output": str(path.with_suffix(""))} | changes)
        )
        if not in_process:
            for section in yaml.safe_load(path.read_text())["sites"]:
                folder = self.site_folder(section["name"])
                approve(folder, read_request(folder, path))
        return path

    def join(self, name: str, *start: str, environment: Any = None) -> Program:
        """Start a site, unless it runs; `start` is what Python runs in place of the project, with its arguments."""
        log = self.folder / f"{name}.log"
        for program in self.running:
            if program.log == log and program.process.poll() is None:
                return program
        found = start or ("-m", "fedtune3d")
        return self._start(Program(log, "site", "join", self.site_folder(name), start=found, environment=environment))

    def run(self, *arguments: object, environment: Any = None) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        command = [sys.executable, "-m", "fedtune3d", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env={**ENVIRONMENT, **(environment or {})})

    def serve(self, experiment: Path, *options: object) -> Program:
        """Start the server, in place of one that a test which failed has left."""
        if self.server is not None and self.server.process.poll() is None:
            self.server.kill()
        words = ("server", "run", experiment, "--folder", self.server_folder.path, *options)
        self.server = self._start(Program(experiment.with_suffix(".log"), *words))
        return self.server

    def _start(self, program: Program) -> Program:
        self.running.append(program)
        return program

    def ledger(self, experiment: Path) -> list[dict[str, Any]]:
        """The rounds that the server has committed so far."""
        path = experiment.with_suffix("") / "rounds.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def left(self, name: str) -> list[dict[str, Any]]:
        """What has left a site, oldest first, over all its runs."""
        files = sorted((self.site_folder(name) / "work").glob("runs/*/sites/*/egress.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def assert_bits_of_one_process(self, name: str, **changes: Any) -> None:
        """Run the experiment that `write` wrote in one process, too: both must end in the same files."""
        alone = run_experiment(Experiment.from_yaml(self.write(name, in_process=True, **changes)), report=False).path
        for file in (
            "checkpoints/last.safetensors",
            "checkpoints/best.safetensors",
            "metrics.json",
            "summaries/A.json",
        ):
            assert sha256_file(self.folder / name / file) == sha256_file(alone / file), file

    def close(self) -> None:
        """End all that still runs."""
        for program in self.running:
            if program.process.poll() is None:
                program.kill()


class Forwarder:
    """Between a site and its server: keeps what the site sends, and spoils what passes when told to.

    With `proxy` it is an HTTP proxy that tunnels to where it is asked to, not a server's other address.

    Attributes:
        address: Where the site finds the server.
        sent: What the site sent, by connection.
        spoil: What is to happen next: ``"cut"`` or ``"altered"``.
        spoilt: What has happened.
    """

    def __init__(self, target: str, proxy: bool = False) -> None:
        host, _, port = target.rpartition(":")
        self.target, self.proxy = (host, int(port)), proxy
        self.sent: list[bytearray] = []
        self.spoil: set[str] = set()
        self.spoilt: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"localhost:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            site, _ = self._listener.accept()
            if self.proxy:
                asked = site.recv(4096)
                assert asked.startswith(f"CONNECT {self.target[0]}:{self.target[1]} ".encode()), asked
            try:
                server = socket.create_connection(self.target)
            except OSError:
                site.close()
                continue
            if self.proxy:
                site.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.sent.append(bytearray())
            for ends in ((site, server, self.sent[-1]), (server, site, bytearray())):
                threading.Thread(target=self._copy, args=ends, daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
        try:
            while data := source.recv(65536):
                kept += data
                if len(data) > 2000 and self.spoil:  # past the handshake: a message's content
                    self.spoilt.append(self.spoil.pop())
                    if self.spoilt[-1] == "cut":
                        sink.sendall(data[: len(data) // 2])
                        break
                    data = data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="session")
def forward() -> Callable[..., Forwarder]:
    """Starts a forwarder to an address."""
    return Forwarder


@pytest.fixture(scope="module")
def two_roots(tmp_path_factory: pytest.TempPathFactory, write_small_site: Callable[..., None]) -> dict[str, Path]:
    """Sites A and B, six people each."""
    folder = tmp_path_factory.mktemp("hospitals")
    for seed, name in enumerate("AB"):
        write_small_site(folder / name, people=6, seed=seed)
    return {name: folder / name for name in "AB"}


@pytest.fixture(scope="module")
def small_values() -> dict[str, Any]:
    """The tiny encoder, a linear head, one round."""
    return {
        "name": "small",
        "seed": 3,
        "labels": {"positive": ["AD"], "negative": ["CN"]},
        "model": {"encoder": "tiny", "head": "linear"},
        "training": {"rounds": 1, "batch_size": 3},
        "threads": 1,
    }


@pytest.fixture(scope="module")
def deploy(
    tmp_path_factory: pytest.TempPathFactory, two_roots: dict[str, Path], small_values: dict[str, Any]
) -> Iterator[Callable[..., Deployment]]:
    """Makes a deployment, over sites A and B if no others are given; all its processes end with the module."""
    made: list[Deployment] = []

    def make(roots: dict[str, Path] | None = None, **options: Any) -> Deployment:
        made.append(Deployment(tmp_path_factory.mktemp("deployment"), roots or two_roots, small_values, **options))
        return made[-1]

    yield make
    for deployment in made:
        deployment.close()


@pytest.fixture(scope="module")
def deployment(deploy: Callable[..., Deployment]) -> Deployment:
    """A server's folder and two sites', over TLS."""
    return deploy()


@pytest.fixture
def joined(deployment: Deployment) -> Deployment:
    """Sites A and B have joined; no server runs yet."""
    for name in deployment.roots:
        deployment.join(name)
    return deployment
