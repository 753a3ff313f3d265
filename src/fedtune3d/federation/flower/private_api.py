"""All uses of Flower's private API, imported here and nowhere else.

The public API (`flwr.app`, `flwr.clientapp`, `flwr.serverapp`) starts apps from code that is sent in a bundle. Here
both sides run installed code in their own processes, which needs the runtime behind the apps: its tasks, its HTTP
clients with their interceptors, the registration of keys and the start of a run. None of these are stable, so
`pyproject.toml` pins one minor version of flwr. `tests/federation/flower/test_private_api.py` fails as soon as the
public API offers one of the names here, which can then be removed.
"""

import importlib

from flwr.cli.build import build_fab_from_disk
from flwr.common.constant import SubStatus
from flwr.common.serde import context_from_proto, context_to_proto, fab_to_proto, run_from_proto
from flwr.proto.control_pb2 import RegisterNodeRequest, StartRunRequest
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullTaskInputRequest,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import TaskType
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.retry import RetryInvoker, exponential
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output
from starlette.middleware import Middleware

__all__ = [
    "AcquireTaskRequest",
    "ControlHttpClient",
    "Fab",
    "HttpGrid",
    "ProtobufClientInterceptor",
    "PullTaskInputRequest",
    "PushTaskOutputRequest",
    "RegisterNodeRequest",
    "RetryInvoker",
    "RuntimeHttpClient",
    "RuntimeTokenHttpInterceptor",
    "RuntimeVersionHttpInterceptor",
    "SendTaskHeartbeatRequest",
    "StartRunRequest",
    "SubStatus",
    "SuperExecAuthHttpInterceptor",
    "TaskIdentity",
    "TaskType",
    "build_fab_from_disk",
    "context_from_proto",
    "context_to_proto",
    "exponential",
    "fab_to_proto",
    "public_key_to_bytes",
    "pull_task_input",
    "push_message",
    "push_task_output",
    "run_from_proto",
    "run_superlink_behind",
    "run_supernode",
    "use_retries",
]


def use_retries(grid: HttpGrid, retries: RetryInvoker) -> None:
    """Let a grid retry during a short connection loss; its constructor has no option for this."""
    grid._retry_invoker = retries


def run_superlink_behind(middleware: Middleware) -> None:
    """Run `flower-superlink` behind a middleware; its command line has no option for this."""
    import uvicorn
    from flwr.superlink.main import create_app

    cli = importlib.import_module("flwr.superlink.cli.flower_superlink")  # its package has a function of this name
    config = cli._parse_superlink_lifespan_config()
    app = create_app(config, cli.SuperLinkLifespan)
    app.add_middleware(middleware.cls, *middleware.args, **middleware.kwargs)
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
    """Run `flower-supernode`."""
    from flwr.supernode.cli.flower_supernode import flower_supernode

    flower_supernode()
