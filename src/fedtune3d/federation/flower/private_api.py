"""All uses of Flower's private API, imported here and nowhere else.

The public API (`flwr.app`, `flwr.clientapp`, `flwr.serverapp`) starts apps from code that is sent in a bundle. Here
both sides run installed code in their own processes, which needs the runtime behind the apps: its tasks, its HTTP
clients with their interceptors, the registration of keys and the start of a run. None of these are stable, so
`pyproject.toml` pins one minor version of flwr. `tests/federation/flower/test_private_api.py` fails as soon as the
public API offers one of the names here, which can then be removed.
"""

import importlib
from collections.abc import Callable

from flwr.app import Error, Message
from flwr.cli.build import build_fab_from_disk
from flwr.common.constant import ErrorCode, SubStatus
from flwr.common.serde import context_from_proto, context_to_proto, fab_to_proto, run_from_proto
from flwr.proto.control_pb2 import RegisterNodeRequest, StartRunRequest
from flwr.proto.message_pb2 import ObjectTree
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
from flwr.supercore.object_store import ObjectStore
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.retry import RetryInvoker, exponential
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.nodestate import NodeState
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output
from starlette.middleware import Middleware

from fedtune3d.federation.flower.connections import HEAD_BYTES, BoundedConnection
from fedtune3d.federation.flower.intake import Intake
from fedtune3d.federation.flower.polling import Polling

__all__ = [
    "AcquireTaskRequest",
    "ControlHttpClient",
    "ErrorCode",
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


Receive = Callable[[], tuple[Message, ObjectTree] | None]
"""Request for the next message: the message without its content, and the ids of its objects."""


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
        http=BoundedConnection,
        h11_max_incomplete_event_size=HEAD_BYTES,
        ws="none",
    )


def run_supernode(intake: Intake) -> None:
    """Run `flower-supernode`, whose connection to the server reads through an intake; it has no option for this.

    The rest of a message that is too long is not read, and the server receives the reason instead. During a run it asks
    for the next message more often than Flower's (`Polling`).
    """
    from flwr.supernode import fleet_http_connection, start_client_internal
    from flwr.supernode.cli.flower_supernode import flower_supernode

    class GuardedClient(FleetHttpClient):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)  # type: ignore[arg-type]
            intake.guard(self._client)

    polling = Polling()
    pull, insert = start_client_internal._pull_and_store_message, start_client_internal._insert_message

    def pull_within_bound(
        *, state: NodeState, object_store: ObjectStore, receive: Receive, **others: object
    ) -> int | None:
        pulled: list[Message] = []
        noting = _noting(receive, intake, polling, pulled)
        run_id = pull(state=state, object_store=object_store, receive=noting, **others)  # type: ignore[arg-type]
        if not intake.exceeded or not pulled:
            return run_id
        refused = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, intake.reason), reply_to=pulled[0])
        intake.next_message()
        insert(refused, state, object_store)
        return int(pulled[0].metadata.run_id)

    setattr(start_client_internal, "_pull_and_store_message", pull_within_bound)  # noqa: B010 (of another type)
    setattr(fleet_http_connection, "FleetHttpClient", GuardedClient)  # noqa: B010 (not exported there)
    flower_supernode()


def _noting(receive: Receive, intake: Intake, polling: Polling, pulled: list[Message]) -> Receive:
    """Wrap the reception of a message: reset the count of its bytes, and keep it for the answer."""

    def receive_counted() -> tuple[Message, ObjectTree] | None:
        intake.next_message()
        return receive()

    def received() -> tuple[Message, ObjectTree] | None:
        if (found := polling.ask(receive_counted)) is not None:
            pulled.append(found[0])
        return found

    return received
