"""Who reaches what of a SuperLink."""

import asyncio
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse

pytest.importorskip("flwr")

import httpx

from fedtune3d.federation.flower.launch import OnlySitesFromOutside


def status(door: Path, path: str, client: str) -> int:
    """What a request from an address is answered with."""
    app = OnlySitesFromOutside(PlainTextResponse("in"), door)

    async def ask() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(client, 1))) as asking:
            return (await asking.post(f"http://server{path}")).status_code

    return asyncio.run(ask())


@pytest.mark.parametrize("path", ["/v1/control/start-run", "/v1/runtime/acquire-task", "/docs", "/", "/v1/fleet"])
def test_only_the_fleet_api_answers_other_machines(tmp_path: Path, path: str) -> None:
    door = tmp_path / "open"
    door.touch()
    assert status(door, path, "10.0.0.5") == 403
    assert status(door, path, "::ffff:10.0.0.5") == 403
    assert status(door, path, "127.0.0.1") == status(door, path, "::1") == 200
    assert status(door, "/v1/fleet/pull-messages", "10.0.0.5") == 200


def test_sites_come_in_when_the_door_is_open(tmp_path: Path) -> None:
    assert status(tmp_path / "open", "/v1/fleet/activate-node", "127.0.0.1") == 503
    assert status(tmp_path / "open", "/v1/control/register-node", "127.0.0.1") == 200
