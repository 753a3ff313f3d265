"""Deployments of real processes on this machine: a server and its sites, each as its command starts it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("flwr")

PATIENCE_SECONDS = 300
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """Waits for a condition and gives what it gave: `until(condition, what)`."""
    return wait_until


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """See `until`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s in vain for: {what}")


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

    def site_folder(self, name: str) -> Path:
        """A site's own folder."""
        return self.server_folder.sites / name

    def configure(self, name: str, **changes: Any) -> None:
        """Write a site's site.yaml; the policy lets small sites answer."""
        values = {
            "name": name,
            "server": self.address,
            "data": str(self.roots[name]),
            "policy": {"least_examples": 1, "least_per_class": 1},
            "insecure": self.insecure,
        }
        (self.site_folder(name) / "site.yaml").write_text(yaml.safe_dump(values | changes))

    def write(self, name: str, *, in_process: bool = False, **changes: Any) -> Path:
        """Write an experiment file: for the server, without any root; or for one process, with the sites' policy."""
        policy = {"predictions_leave": False, "pictures_leave": False, "groups_leave": False, "least_per_class": 1}
        sites = [
            {"name": site, "policy": policy} | ({"root": str(root)} if in_process else {})
            for site, root in self.roots.items()
        ]
        path = self.folder / f"{name}{'-in-process' if in_process else ''}.yaml"
        cache = {"cache": str(self.folder / "cache")}
        path.write_text(
            yaml.safe_dump(self.values | cache | {"sites": sites, "output": str(path.with_suffix(""))} | changes)
        )
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
        """Start the server."""
        log = experiment.with_suffix(".log")
        folder = self.server_folder.path
        return self._start(Program(log, "server", "run", experiment, "--folder", folder, *options))

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

    def close(self) -> None:
        """End all that still runs."""
        for program in self.running:
            if program.process.poll() is None:
                program.kill()


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
    """Makes a deployment over sites A and B; all its processes end with the module."""
    made: list[Deployment] = []

    def make(**options: Any) -> Deployment:
        made.append(Deployment(tmp_path_factory.mktemp("deployment"), two_roots, small_values, **options))
        return made[-1]

    yield make
    for deployment in made:
        deployment.close()
