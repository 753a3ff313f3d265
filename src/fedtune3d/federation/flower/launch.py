"""A SuperLink or SuperNode of Flower in a process that ends with the one that started it.

Run as ``python -m fedtune3d.federation.flower.launch superlink|supernode PARENT_PID …``, and then Flower's arguments.
"""

import importlib
import ipaddress
import sys

import uvicorn
from flwr.supercore.app_utils import start_parent_process_monitor
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

FLEET = "/v1/fleet/"


class OnlySitesFromOutside:
    """Lets other machines reach what sites need, where Flower checks their keys, and nothing else.

    Whoever reaches Flower's Control API can start runs and register keys, and it asks for no key of theirs; so here it
    answers this machine only.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 403."""
        if scope["type"] == "http" and not (scope["path"].startswith(FLEET) or _is_here(scope)):
            await PlainTextResponse("only /v1/fleet/ answers other machines", 403)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _is_here(scope: Scope) -> bool:
    """Whether a request comes from this machine."""
    client = scope.get("client")
    return client is not None and ipaddress.ip_address(client[0]).is_loopback


def run_superlink() -> None:
    """What `flower-superlink` does, behind `OnlySitesFromOutside`."""
    from flwr.superlink.main import create_app

    cli = importlib.import_module("flwr.superlink.cli.flower_superlink")  # its package has a function of this name
    config = cli._parse_superlink_lifespan_config()
    app = create_app(config, cli.SuperLinkLifespan)
    app.add_middleware(OnlySitesFromOutside)
    uvicorn.run(
        app,
        host=config.host,
        port=config.port,
        ssl_keyfile=config.ssl_keyfile,
        ssl_certfile=config.ssl_certfile,
        proxy_headers=False,
        log_level="warning",
    )


def run_supernode() -> None:
    """What `flower-supernode` does."""
    from flwr.supernode.cli.flower_supernode import flower_supernode

    flower_supernode()


def main() -> None:
    """Take Flower's place on the command line."""
    what, parent, *arguments = sys.argv[1:]
    sys.argv = [f"flower-{what}", *arguments]
    start_parent_process_monitor(int(parent))
    {"superlink": run_superlink, "supernode": run_supernode}[what]()


if __name__ == "__main__":
    main()
