"""Who is let in, and what a stranger costs: requests are judged by their head, before their body is read."""

import asyncio
import base64
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.responses import PlainTextResponse
from waiting import wait_until

pytest.importorskip("flwr")

import httpx

from fedtune3d.federation.flower.door import FLEET, PUSH_MESSAGES, PUSH_OBJECT, Door, DoorLimits, open_door

SUPPORT = Path(__file__).parents[2] / "support"
KEY = ec.derive_private_key(1234567, ec.SECP384R1())
STRANGER = ec.derive_private_key(7654321, ec.SECP384R1())


def public(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A public key as Flower registers it."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


def signed(key: ec.EllipticCurvePrivateKey, seconds_ago: float = 1.0) -> dict[str, str]:
    """The head of a request that a SuperNode with this key makes."""
    time = (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()
    return {
        "flwr-public-key": base64.b64encode(public(key)).decode(),
        "flwr-timestamp": time,
        "flwr-signature": base64.b64encode(key.sign(time.encode(), ec.ECDSA(hashes.SHA256()))).decode(),
    }


@pytest.fixture
def door(tmp_path: Path) -> Path:
    """The file of a door that is open for one key."""
    open_door(tmp_path / "open", [public(KEY)])
    return tmp_path / "open"


def statuses(
    door: Path,
    path: str,
    client: str = "10.0.0.5",
    headers: dict[str, str] | None = None,
    bodies: tuple[bytes, ...] = (b"",),
    limits: DoorLimits | None = None,
) -> list[int]:
    """What requests from an address are answered with."""
    app = Door(PlainTextResponse("in"), door, limits)

    async def ask() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(client, 1))) as asking:
            url = f"http://server{path}"
            return [(await asking.post(url, headers=headers, content=body)).status_code for body in bodies]

    return asyncio.run(ask())


@pytest.mark.parametrize("path", ["/v1/control/start-run", "/v1/runtime/acquire-task", "/docs", "/", "/v1/fleet"])
def test_only_the_fleet_api_answers_other_machines(door: Path, path: str) -> None:
    assert statuses(door, path) == statuses(door, path, "::ffff:10.0.0.5") == [403]
    assert statuses(door, path, "127.0.0.1") == statuses(door, path, "::1") == [200]
    assert statuses(door, f"{FLEET}pull-messages", headers=signed(KEY)) == [200]


def test_sites_come_in_when_the_door_is_open(tmp_path: Path) -> None:
    assert statuses(tmp_path / "open", f"{FLEET}activate-node", "127.0.0.1", signed(KEY)) == [503]
    assert statuses(tmp_path / "open", "/v1/control/register-node", "127.0.0.1") == [200]
    open_door(tmp_path / "open", None)
    assert statuses(tmp_path / "open", f"{FLEET}activate-node") == [200]
    assert (tmp_path / "open").stat().st_mode & 0o077 == 0


def test_a_stranger_is_refused_whatever_the_head_says(door: Path) -> None:
    good = signed(KEY)
    forged = [
        {},
        signed(STRANGER),
        good | {"flwr-signature": signed(STRANGER)["flwr-signature"]},
        good | {"flwr-signature": "not base64"},
        good | {"flwr-timestamp": "yesterday"},
        good | {"flwr-timestamp": datetime.now().isoformat()},
        good | {"flwr-timestamp": (datetime.now(UTC)).isoformat()},
        good | {"flwr-public-key": "A" * 5000},
        signed(KEY, seconds_ago=400),
        signed(KEY, seconds_ago=-30),
    ]
    for headers in forged:
        assert statuses(door, PUSH_OBJECT, headers=headers) == [401], headers
    assert statuses(door, PUSH_OBJECT, headers=good) == [200]


def test_a_key_that_the_file_no_longer_holds_is_refused(door: Path) -> None:
    open_door(door, [public(STRANGER)])
    assert statuses(door, PUSH_OBJECT, headers=signed(KEY)) == [401]
    assert statuses(door, PUSH_OBJECT, headers=signed(STRANGER)) == [200]


def test_a_known_site_is_bounded_too(door: Path) -> None:
    limits = DoorLimits(object_bytes=100, message_bytes=20, other_bytes=10, answer_bytes=250)
    for path, longest in ((PUSH_OBJECT, 100), (PUSH_MESSAGES, 20), (f"{FLEET}get-run", 10)):
        bodies = (b"x" * longest, b"x" * (longest + 1))
        assert statuses(door, path, headers=signed(KEY), bodies=bodies, limits=limits) == [200, 413]
    bodies = (b"x" * 100,) * 3
    assert statuses(door, PUSH_OBJECT, headers=signed(KEY), bodies=bodies, limits=limits) == [200, 200, 413]


def test_a_site_that_asks_too_fast_waits(door: Path) -> None:
    app = Door(PlainTextResponse("in"), door, DoorLimits(burst=5, per_second=100.0))

    async def ask(times: int) -> float:
        began = asyncio.get_running_loop().time()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app, client=("10.0.0.5", 1))) as asking:
            for _ in range(times):
                headers = signed(KEY)
                assert (await asking.post(f"http://server{FLEET}get-run", headers=headers)).status_code == 200
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(ask(25)) > 0.1


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[tuple[int, psutil.Process]]:
    """The port and the process of a door that is open for one key."""
    open_door(tmp_path / "open", [public(KEY)])
    process = subprocess.Popen([sys.executable, SUPPORT / "listening.py", str(tmp_path)])
    try:
        port = wait_until(lambda: (tmp_path / "port").exists() and (tmp_path / "port").read_text(), "the port")
        wait_until(lambda: _answers(int(port)), "an answer")
        yield int(port), psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code == 200
    return False


def _peak_growth_mb(process: psutil.Process, port: int, headers: dict[str, str]) -> tuple[float, int | None]:
    """Post 600 MB; the most by which the process grew, and the answer's status."""
    before, most, status = process.memory_info().rss, 0, None

    def body() -> Iterator[bytes]:
        nonlocal most
        for _ in range(600):
            most = max(most, process.memory_info().rss)
            yield b"x" * 1_000_000

    with suppress(httpx.HTTPError):
        url = f"http://127.0.0.1:{port}{PUSH_OBJECT}"
        status = httpx.post(url, content=body(), headers=headers, trust_env=False, timeout=60).status_code
    return (max(most, process.memory_info().rss) - before) / 1e6, status


@pytest.mark.parametrize("length", [{"content-length": "600000000"}, {}], ids=["stated", "chunked"])
def test_600_mb_unsigned_are_not_read(listening: tuple[int, psutil.Process], length: dict[str, str]) -> None:
    port, process = listening
    grown, status = _peak_growth_mb(process, port, length)
    assert grown < 20
    assert status in (401, None)  # None: the connection was closed before the body was out
    ok = httpx.post(f"http://127.0.0.1:{port}{PUSH_OBJECT}", content=b"abc", headers=signed(KEY), trust_env=False)
    assert ok.text == "read 3 bytes"


def test_600_mb_of_a_known_site_are_not_read_either(listening: tuple[int, psutil.Process]) -> None:
    port, process = listening
    grown, status = _peak_growth_mb(process, port, signed(KEY) | {"content-length": "600000000"})
    assert grown < 20
    assert status in (413, None)
