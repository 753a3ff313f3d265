"""Memory that others can take from a server and from a site, seen in the real processes."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import psutil
import pytest
import torch

from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.messages import Answer, Fault, Federation, Task
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.tasks.count_scans import CountScans
from fedtune3d.federation.tasks.score import Score

pytestmark = pytest.mark.slow


def _resident_mb(processes: list[psutil.Process]) -> float:
    total = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 1e6


def _growth_mb(processes: list[psutil.Process], work: Callable[[], Any]) -> float:
    """The most by which processes grow together while work is done."""
    before, most, ended = _resident_mb(processes), 0.0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.is_set():
            most = max(most, _resident_mb(processes))
            ended.wait(0.02)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        work()
    finally:
        ended.set()
        watching.join()
    return most - before


def _post_600_mb(address: str, authority: str) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(600):
            yield b"x" * 1_000_000

    with suppress(httpx.HTTPError):
        httpx.post(
            f"https://{address}/v1/fleet/push-object",
            content=body(),
            headers={"content-length": "600000000", "content-type": "application/protobuf"},
            verify=authority,
            trust_env=False,
            timeout=60,
        )


def test_what_strangers_and_servers_send_is_bounded(deployment: Any, until: Callable[..., Any]) -> None:
    from fedtune3d.federation.flower.server_app import serve
    from fedtune3d.workflows.serve import FLOWER_APP

    deployment.configure("A", policy={"min_people": 1, "min_per_class": 1, "max_payload_mb": 100})
    experiment = Experiment.from_yaml(deployment.write("bounded", sites=[{"name": "A"}]))
    site = psutil.Process(deployment.join("A").process.pid)
    figures = {}

    def work(reach: Callable[[ProcessModel], Federation], again: bool) -> list[Answer | Fault]:
        federation = reach(ProcessModel(experiment))
        list(federation.ask({"A": Task(CountScans())}))  # all is loaded, on both sides
        superlink = [child for child in psutil.Process().children() if "superlink" in child.cmdline()]
        authority = str(deployment.server_folder.paths.authority)
        figures["server"] = _growth_mb(superlink, lambda: _post_600_mb(deployment.address, authority))
        large = Task(Score(), round=1, parts={"state": {"x": torch.rand(75_000_000)}}, deadline_seconds=240)
        replies: list[Answer | Fault] = []
        processes = [site, *site.children(recursive=True)]
        figures["site"] = _growth_mb(processes, lambda: replies.extend(federation.ask({"A": large})))
        return replies + list(federation.ask({"A": Task(CountScans())}))

    refused, after = serve(
        experiment,
        deployment.server_folder,
        work,
        app=FLOWER_APP,
        wait_seconds=120,
        on_wait=lambda missing: None,
        on_restart=lambda why: None,
    )
    print(
        f"600 MB unsigned: the server grew by {figures['server']:.0f} MB; 300 MB sent: site, {figures['site']:.0f} MB"
    )
    assert figures["server"] < 20
    assert figures["site"] < 150
    assert isinstance(refused, Fault)
    assert "policy.max_payload_mb is 100" in refused.reason
    assert isinstance(after, Answer)
