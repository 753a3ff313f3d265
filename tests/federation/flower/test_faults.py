"""Each fault that a deployment meets, made by killing, cutting, filling or falsifying something real."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.slow

THREE_ROUNDS = {"rounds": 3, "batch_size": 3}


def child_of(program: Any, what: str) -> psutil.Process:
    """The SuperLink or SuperNode that a program has started."""
    return next(child for child in psutil.Process(program.process.pid).children() if what in child.cmdline())


def test_a_site_that_never_comes(deployment: Any) -> None:
    deployment.join("A")
    deployment.join("B").stop()
    server = deployment.serve(deployment.write("absent"), "--wait", 0.3)
    assert server.wait() == 2
    assert "site B: is not connected; fix this and run again with --resume" in server.text
    deployment.join("B")
    server = deployment.serve(deployment.write("absent"), "--resume")
    assert server.wait() == 0, server.text


@pytest.mark.parametrize("killed", ["machine", "supernode"])
def test_a_site_killed_in_a_round_is_back_later(joined: Any, killed: str, until: Callable[..., Any]) -> None:
    limits = {"deadline_seconds": 20, "quorum": 1}
    path = joined.write(f"{killed}-back", participation=limits, training={"rounds": 200, "batch_size": 3})
    server = joined.serve(path)
    until(lambda: joined.ledger(path), "the first round")
    if killed == "machine":
        joined.join("B").kill()
    else:
        child_of(joined.join("B"), "supernode").kill()  # what started it starts another
    until(lambda: any(not line["sites"]["B"]["participated"] for line in joined.ledger(path)), "a round without B")
    joined.join("B")
    missed = [line["round"] for line in joined.ledger(path) if not line["sites"]["B"]["participated"]]
    line = until(
        lambda: [
            line for line in joined.ledger(path) if line["round"] > missed[0] and line["sites"]["B"]["participated"]
        ],
        "a later round with B",
    )[0]
    assert line["sites"]["A"]["participated"]
    assert server.stop() == 130


def test_the_server_killed_and_restarted(joined: Any, until: Callable[..., Any]) -> None:
    changes = {"training": {"rounds": 5, "batch_size": 3}}
    path = joined.write("restarted", **changes)
    server = joined.serve(path)
    until(lambda: len(joined.ledger(path)) >= 2, "two rounds")
    superlink = child_of(server, "superlink")
    server.process.kill()
    server.process.wait()
    until(lambda: not superlink.is_running() or superlink.status() == psutil.STATUS_ZOMBIE, "its SuperLink to end")
    server = joined.serve(path, "--resume")
    assert server.wait() == 0, server.text
    assert [line["round"] for line in joined.ledger(path)] == [1, 2, 3, 4, 5, 6]
    joined.assert_bits_of_one_process("restarted", **changes)


def test_the_superlink_killed(joined: Any, until: Callable[..., Any]) -> None:
    changes = {"training": {"rounds": 5, "batch_size": 3}}
    path = joined.write("relinked", **changes)
    server = joined.serve(path)
    until(lambda: len(joined.ledger(path)) >= 2, "two rounds")
    child_of(server, "superlink").kill()
    assert server.wait() == 0, server.text
    assert "the SuperLink exited" in server.text
    joined.assert_bits_of_one_process("relinked", **changes)


def test_a_site_without_tls(deployment: Any, until: Callable[..., Any]) -> None:
    deployment.join("A")
    deployment.join("B").stop()
    before = len(deployment.left("B"))
    deployment.configure("B", insecure=True)
    stranger = deployment.join("B")
    server = deployment.serve(deployment.write("plain"))
    until(lambda: "the SuperNode exited" in stranger.text or "waiting for B" in server.text.splitlines(), "B to wait")
    until(lambda: "waiting for B" in server.text.splitlines(), "the server to wait for B alone")
    server.stop()
    stranger.stop()
    deployment.configure("B")
    assert len(deployment.left("B")) == before


def test_a_revoked_key(deployment: Any, until: Callable[..., Any]) -> None:
    key = deployment.server_folder.public_key("B")
    content = key.read_bytes()
    key.unlink()
    path = deployment.write("revoked")
    server = deployment.serve(path)
    assert server.wait() == 2
    assert "no key for B; add it with `fedtune3d server init`" in server.text
    only_a = deployment.write("revoked", sites=[{"name": "A"}], participation={"quorum": 1})
    revoked = deployment.join("B")
    deployment.join("A").stop()
    server = deployment.serve(only_a)  # it waits for A while B knocks
    until(lambda: "the server has no key of this site" in revoked.text, "B to say that it is refused")
    server.stop()
    key.write_bytes(content)


def test_a_message_cut_and_one_altered_on_the_way(
    deployment: Any, forward: Callable[[str], Any], until: Callable[..., Any]
) -> None:
    proxy = forward(deployment.address)
    deployment.join("B").stop()
    deployment.configure("B", server=proxy.address)
    try:
        for name in ("A", "B"):
            deployment.join(name)
        changes = {"training": {"rounds": 6, "batch_size": 3}, "participation": {"deadline_seconds": 90, "quorum": 1}}
        path = deployment.write("spoilt", **changes)
        server = deployment.serve(path)
        until(lambda: deployment.ledger(path), "the first round")
        proxy.spoil.add("cut")
        until(lambda: len(deployment.ledger(path)) >= 3, "more rounds")
        proxy.spoil.add("altered")
        assert server.wait() == 0, server.text
    finally:
        deployment.join("B").stop()
        deployment.configure("B")
    assert proxy.spoilt == ["cut", "altered"]
    assert len(deployment.ledger(path)) == 7
    if all(not entry["fault"] for line in deployment.ledger(path) for entry in line["sites"].values()):
        deployment.assert_bits_of_one_process("spoilt", **changes)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 60 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", folder]).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


def test_a_full_disk_at_a_site(deployment: Any, small_disk: Path, until: Callable[..., Any]) -> None:
    deployment.join("B").stop()
    deployment.configure("B", work=str(small_disk))
    filler = small_disk / "filler"
    try:
        for name in ("A", "B"):
            deployment.join(name)
        limits = {"quorum": 1, "deadline_seconds": 120}
        path = deployment.write("full", participation=limits, training={"rounds": 100, "batch_size": 3})
        server = deployment.serve(path)
        until(lambda: deployment.ledger(path), "the first round")
        with pytest.raises(OSError, match="No space left"):
            fill(filler)
        entry = until(
            lambda: [line["sites"]["B"] for line in deployment.ledger(path) if line["sites"]["B"]["fault"]], "a fault"
        )[0]
        fault = entry["fault"]
        assert re.search(r"could not carry out the task: \w+|cannot write its egress manifest", fault), fault
        assert str(small_disk) not in entry["fault"]
        full = len(deployment.ledger(path))
        filler.unlink()
        until(
            lambda: any(line["sites"]["B"]["participated"] for line in deployment.ledger(path)[full:]),
            "a round with B again",
        )
        assert server.stop() == 130
    finally:
        deployment.join("B").stop()
        deployment.configure("B")


FALSIFIED = """
import sys, torch
from fedtune3d.federation.flower import site_host
from fedtune3d.federation.messages import Answer
honest = site_host.pack_answer
def pack(reply, sha256):
    if isinstance(reply, Answer) and reply.parts:
        {lie}
    return honest(reply, sha256)
site_host.pack_answer = pack
from fedtune3d.cli.app import main
main(sys.argv[1:])
"""
LIES = {
    "nan": ("next(iter(reply.parts['state'].values())).fill_(float('nan'))", "NaN or infinite"),
    "other": ("sha256 = '0' * 64", "answered for another experiment"),
    "shape": ("reply = Answer(reply.site, reply.payload, {'state': {'x': torch.ones(3)}})", "missing"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_site_that_sends_what_it_should_not(deployment: Any, lie: str, until: Callable[..., Any]) -> None:
    code, why = LIES[lie]
    deployment.join("A")
    deployment.join("B").stop()
    liar = deployment.join("B", "-c", FALSIFIED.format(lie=code))
    path = deployment.write(f"lie-{lie}", participation={"quorum": 1}, training=THREE_ROUNDS)
    server = deployment.serve(path)
    assert server.wait() == 0, server.text
    liar.stop()
    for line in deployment.ledger(path)[:3]:
        assert line["sites"]["A"]["participated"]
        assert not line["sites"]["B"]["participated"]
        assert why in line["sites"]["B"]["fault"]


CLOCK = """
import datetime, time
import flwr.supercore.date as date
_now, _time = date.now, time.time
date.now = lambda: _now() + datetime.timedelta(seconds={seconds})
time.time = lambda: _time() + {seconds}
"""


@pytest.mark.parametrize(("seconds", "words"), [(-360, "s behind the server's"), (60, "s ahead of the server's")])
def test_a_clock_too_far_off(
    deployment: Any, tmp_path: Path, seconds: int, words: str, until: Callable[..., Any]
) -> None:
    deployment.join("A")
    deployment.join("B").stop()
    (tmp_path / "sitecustomize.py").write_text(CLOCK.format(seconds=seconds))
    before = len(deployment.left("B"))
    server = deployment.serve(deployment.write(f"clock{seconds}"))
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    late = deployment.join("B", environment={"PYTHONPATH": path})
    until(lambda: words in late.text, "the site to name its clock")
    until(lambda: "waiting for B" in server.text.splitlines(), "the server to wait for B alone")
    checked = deployment.run("site", "check", deployment.site_folder("B"), environment={"PYTHONPATH": path})
    assert checked.returncode == 2
    assert "NOT OK clock: this machine's clock is" in checked.stdout
    server.stop()
    late.stop()
    assert len(deployment.left("B")) == before


def test_a_refusal_is_one_line_at_both_ends(deployment: Any) -> None:
    """A hospital narrows its policy after it approved the experiment."""
    path = deployment.write("refused")
    deployment.join("B").stop()
    deployment.configure("B", policy={"tunings": ["lora"], "min_people": 1, "min_per_class": 1})
    for name in ("A", "B"):
        deployment.join(name)
    server = deployment.serve(path)
    assert server.wait() == 2
    line = "refused: policy.tunings allows lora, but the experiment uses frozen"
    assert f"site B: {line}; fix this and run again with --resume" in server.text
    assert f"count_scans: {line}" in deployment.join("B").text
    deployment.join("B").stop()
    deployment.configure("B")


def test_a_worker_killed_takes_its_supernode_along(joined: Any, until: Callable[..., Any]) -> None:
    site = joined.join("A")
    supernode = until(lambda: child_of(site, "supernode"), "a SuperNode")
    os.kill(site.process.pid, signal.SIGKILL)
    until(lambda: not supernode.is_running() or supernode.status() == psutil.STATUS_ZOMBIE, "the SuperNode to end")
